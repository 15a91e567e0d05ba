//! The program and `serve`, in front of the same backends, with files that say the same.

use std::net::SocketAddr;
use std::sync::Arc;

use toml::Value;

use super::backend::Backend;
use super::load::{Load, Prepared};
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::diagnosis::Finding;
use crate::judge::running::Running;
use crate::judge::scene::{Command, Scene, Subject};

/// How much the bodies of answers are filled up.
const BODY: usize = 600;

/// A limit that nobody reaches.
const NEVER: i64 = 1_000_000;

/// Routes for any host, besides those for one.
const MORE: usize = 8;

/// For each processor so many connections come, and so many at the least and at the most.
const CONNECTIONS: usize = 8;
const BETWEEN: [usize; 2] = [16, 64];

/// What both are told, and what is asked of both.
#[derive(Debug)]
pub struct Plan {
    pools: Vec<PoolPlan>,
    routes: Vec<RoutePlan>,
    limit: String,
    /// One for each route.
    requests: Arc<[Prepared]>,
}

#[derive(Debug)]
struct PoolPlan {
    name: String,
    backends: Vec<Backend>,
    /// What its backends answer.
    body: String,
}

#[derive(Debug)]
struct RoutePlan {
    host: Option<String>,
    prefix: Option<String>,
    pool: usize,
    limited: bool,
}

/// One of the two.
#[derive(Debug)]
pub struct Side<'a> {
    /// It, as it runs.
    pub running: Running<'a>,
    /// How many clients it has at a time.
    pub connections: usize,
    /// Its clients; none while they are at work.
    pub load: Option<Load>,
}

// === impl Plan ===

impl Plan {
    /// Draws it, and starts the backends.
    ///
    /// # Errors
    ///
    /// The machine has no port for one, which is inconclusive.
    pub fn drawn(scene: &Scene) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let pool = |count: usize| {
            let (name, word) = (draw.word(), draw.word());
            let body = format!("{name} {}", word.repeat(BODY / word.len()));
            let start = |_| {
                let started = Backend::start(scene.free_address()?, &body);
                started.map_err(|error| scene.our_error("a backend could not be opened", &error))
            };
            let backends = (0..count).map(start).collect::<Result<_, _>>()?;
            Ok(PoolPlan { name, backends, body })
        };
        let pools = [3, 2, 1].map(pool).into_iter().collect::<Result<Vec<_>, _>>()?;
        let [host, other] = [(); 2].map(|()| format!("{}.test", draw.word()));
        let prefix = || Some(format!("/{}", draw.word()));
        let deep = Some(format!("/{}/{}", draw.word(), draw.word()));
        let route = |host: Option<&String>, prefix, pool, limited| RoutePlan {
            host: host.cloned(),
            prefix,
            pool,
            limited,
        };
        let mut routes = vec![
            route(Some(&host), prefix(), 1, true),
            route(Some(&host), None, 0, false),
            route(Some(&other), deep, 2, false),
            route(Some(&other), prefix(), 1, false),
            route(None, None, 0, false),
        ];
        routes.extend((0..MORE).map(|number| route(None, prefix(), number % 3, number % 3 == 0)));
        let requests: Arc<[_]> = routes.iter().map(|route| request(scene, route, &pools)).collect();
        for request in requests.iter() {
            scene.plan(request.asked.clone());
        }
        Ok(Self { pools, routes, limit: draw.word(), requests })
    }

    /// The file for this address: much of what the course has, with limits of time and number
    /// that nothing reaches.
    fn file(&self, listen: SocketAddr) -> ConfigFile {
        let seconds = |count: u64| text(format!("{count}s"));
        let mut file = ConfigFile::new().listener(listen).table(
            &format!("[rate_limit.{}]", self.limit),
            [("requests", Value::from(NEVER)), ("burst", Value::from(NEVER))],
        );
        for (number, pool) in self.pools.iter().enumerate() {
            file = file.table("[[pool]]", [("name", text(&pool.name))]);
            if number == 1 {
                let field = toml::Table::from_iter([("header".to_owned(), text("x-user"))]);
                file = file.key("balance", "consistent_hash").key("hash_by", field);
            }
            file = file
                .table("[pool.health_check]", [("interval", seconds(1))])
                .table("[pool.timeouts]", [("read", seconds(20)), ("total", seconds(30))])
                .table("[pool.circuit_breaker]", [("consecutive_failures", Value::from(50))]);
            for (backend, weight) in pool.backends.iter().zip([5, 1, 1]) {
                let address = text(backend.address);
                let keys = [("address", address), ("weight", Value::from(weight))];
                file = file.table("[[pool.backend]]", keys);
            }
        }
        self.routes.iter().fold(file, |file, route| {
            let hosts: Vec<_> = route.host.iter().map(String::as_str).collect();
            let file = file.route(&hosts, route.prefix.as_deref(), &self.pools[route.pool].name);
            let limits = vec![text(&self.limit)];
            if route.limited { file.key("rate_limit", limits) } else { file }
        })
    }

    /// How many connections have come to the backends so far.
    pub fn connections(&self) -> u64 {
        let backends = self.pools.iter().flat_map(|pool| &pool.backends);
        backends.map(Backend::connections).sum()
    }

    /// Starts what the scene judges, with clients for it.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start<'a>(&self, scene: &'a Scene) -> Result<Side<'a>, Finding> {
        let running = scene.start_configured(&[], &[], &|listen| self.file(listen)).await?;
        let [least, most] = BETWEEN;
        let connections = (CONNECTIONS * processors()).clamp(least, most);
        let load = Some(Load::new(running.listen, &self.requests, connections));
        Ok(Side { running, connections, load })
    }
}

/// A request for this route, with as many fields as a browser sends.
fn request(scene: &Scene, route: &RoutePlan, pools: &[PoolPlan]) -> Prepared {
    let draw = &scene.draw;
    let host = route.host.clone().unwrap_or_else(|| format!("{}.test", draw.word()));
    let prefix = route.prefix.as_deref().unwrap_or_default();
    let target = format!("{prefix}/{}/{}?q={}", draw.word(), draw.word(), draw.word());
    let (user, cookie) = (draw.word(), format!("session={}; seen=1", draw.word()));
    let fields = [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-GB,en;q=0.8,zh-CN;q=0.5"),
        ("Referer", "https://search.test/"),
        ("Cookie", cookie.as_str()),
        ("X-User", user.as_str()),
        ("DNT", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Priority", "u=0, i"),
        ("Cache-Control", "no-cache"),
    ];
    Prepared::new(&host, &target, &fields, &pools[route.pool].body)
}

/// A scene of its own for `serve`, which is this very program, started as the one that is
/// judged.
pub fn beside(scene: &Scene) -> Scene {
    let guard = scene.subject.guard.to_string_lossy().into_owned();
    let script = "exec \"$0\" serve --config \"$LAB_CONFIG\"";
    let words = ["sh", "-c", script, &guard].map(str::to_owned).to_vec();
    let subject = Subject { command: Command::Program(words), ..scene.subject.clone() };
    Scene::new(scene.stage(), "beside", subject, scene.seed)
}

/// How many processors there are to work with.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
