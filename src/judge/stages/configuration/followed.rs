//! What the file says is done: the program listens there, looks at these backends, and
//! sends each request to the pool of the route that fits best. Another file, another
//! program.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ID;
use crate::backends::recording::{Received, RecordingBackend};
use crate::judge::client::Request;
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::Exchange;
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::looks::Looks;
use crate::judge::stages::turns::in_words;

/// How often each backend must be looked at, of a file that says how often.
const LOOKS: usize = 5;

/// How much longer than its intervals that may take; see stage 07.
const SLACK: Duration = Duration::from_millis(2300);

/// An interval of which no second one passes here, and how often a backend may be looked at
/// meanwhile: a program may look by itself before its service begins to.
const RARELY: Duration = Duration::from_secs(30);
const RARE_LOOKS: usize = 2;

/// A pool, the backends that the file gives it, and how often they are looked at, if it says so.
struct Pool {
    name: String,
    backends: Vec<RecordingBackend>,
    interval: Option<Duration>,
}

/// A line of the file's routes: for these hosts or any, for paths that begin so or any,
/// to the pool of this number.
struct Route {
    hosts: Vec<String>,
    prefix: Option<String>,
    pool: usize,
}

/// A file, and what stands around it.
struct Setup<'a> {
    scene: &'a Scene,
    pools: Vec<Pool>,
    routes: Vec<Route>,
    /// Where the program listens besides.
    second: Option<SocketAddr>,
    /// A backend that no file names, and all variables do.
    stranger: RecordingBackend,
}

/// Two files, one after the other.
pub async fn starts_as_configured(scene: &Scene) -> Outcome {
    first_file(scene).await?;
    second_file(scene).await
}

/// Three pools; routes of which several fit a request, the wider ones first; two
/// listeners.
async fn first_file(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let word = || draw.word();
    let (host, other) = (format!("{}.{}.test", word(), word()), format!("{}.test", word()));
    let (prefix, below) = (format!("/{}", word()), word());
    let deeper = format!("{prefix}/{below}");
    let routes = vec![
        Route { hosts: vec![], prefix: None, pool: 0 },
        Route { hosts: vec![], prefix: Some(prefix.clone()), pool: 1 },
        Route { hosts: vec![], prefix: Some(deeper.clone()), pool: 2 },
        Route { hosts: vec![host.clone(), other.clone()], prefix: None, pool: 2 },
        Route { hosts: vec![host.clone()], prefix: Some(prefix.clone()), pool: 0 },
    ];
    let pools = [(2, None), (3, None), (2, None)];
    let setup = Setup::drawn(scene, pools, routes, Some(scene.free_address()?))?;
    let running = setup.start().await?;
    setup.listens_only_there(&running)?;

    // As often as the pool has backends, and once more: each of them in turn.
    let cases = [
        (None, format!("/{}", word()), 0),
        (None, format!("{prefix}/{}", word()), 1),
        (None, deeper, 2),
        (Some(&host), format!("/{}", word()), 2),
        (Some(&other), format!("{prefix}/{}", word()), 2),
        (Some(&host), format!("{prefix}/{below}"), 0),
        (None, format!("{prefix}{below}"), 0),
    ];
    for (host, path, pool) in cases {
        let count = setup.pools[pool].backends.len() + 1;
        setup.goes_to(&running, host.map(String::as_str), &path, pool, count).await?;
    }
    setup.answers_on_both(&running).await
}

/// Two other pools; the narrower routes first, and none for the rest; an interval of the
/// health checks for each.
async fn second_file(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let word = || draw.word();
    let host = format!("{}.test", word());
    let prefix = format!("/{}", word());
    let deeper = format!("{prefix}/{}/{}", word(), word());
    let routes = vec![
        Route { hosts: vec![host.clone()], prefix: Some(prefix.clone()), pool: 1 },
        Route { hosts: vec![], prefix: Some(deeper.clone()), pool: 1 },
        Route { hosts: vec![], prefix: Some(prefix.clone()), pool: 0 },
    ];
    let interval = Duration::from_millis(draw.number(110..190));
    let pools = [(1, Some(RARELY)), (2, Some(interval))];
    let setup = Setup::drawn(scene, pools, routes, None)?;
    let running = setup.start().await?;
    setup.looks_as_often(1, interval).await?;
    setup.looks_as_rarely(0).await?;
    for (host, path, pool) in [
        (None, format!("{prefix}/{}", word()), 0),
        (Some(&host), prefix, 1),
        (None, format!("{deeper}/{}", word()), 1),
    ] {
        setup.goes_to(&running, host.map(String::as_str), &path, pool, 3).await?;
    }
    setup.goes_nowhere(&running, None, &format!("/{}", word())).await?;
    setup.goes_nowhere(&running, Some(&host), &format!("/{}", word())).await
}

// === impl Setup ===

impl<'a> Setup<'a> {
    fn drawn<const POOLS: usize>(
        scene: &'a Scene,
        counts: [(usize, Option<Duration>); POOLS],
        routes: Vec<Route>,
        second: Option<SocketAddr>,
    ) -> Result<Self, Finding> {
        let mut pools = Vec::new();
        for (count, interval) in counts {
            let name = scene.draw.word();
            let backends = scene.backends_named(&name, count)?;
            pools.push(Pool { name, backends, interval });
        }
        let stranger = scene.backends_named("stranger", 1)?.remove(0);
        let setup = Self { scene, pools, routes, second, stranger };
        scene.plan(setup.in_words());
        Ok(setup)
    }

    /// The file without its ports, which differ from run to run.
    fn in_words(&self) -> String {
        let mut words = String::new();
        for Pool { name, backends, interval } in &self.pools {
            let count = backends.len();
            let _ = write!(words, "{name} with {count} backends, looks every {interval:?}; ");
        }
        for Route { hosts, prefix, pool } in &self.routes {
            let _ = write!(words, "{hosts:?} {prefix:?} to {}; ", self.pools[*pool].name);
        }
        words
    }

    fn file(&self, listen: SocketAddr) -> ConfigFile {
        let file = ConfigFile::new().line("# Written by the check.").listener(listen);
        let file = self.second.into_iter().fold(file, ConfigFile::listener);
        let file = self.pools.iter().fold(file, |file, pool| {
            let backends = pool.backends.iter().map(RecordingBackend::address);
            file.pool(&pool.name, pool.interval, backends)
        });
        self.routes.iter().fold(file, |file, Route { hosts, prefix, pool }| {
            let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
            file.route(&hosts, prefix.as_deref(), &self.pools[*pool].name)
        })
    }

    async fn start(&self) -> Result<Running<'a>, Finding> {
        let stranger = self.stranger.address().to_string();
        let lists =
            ["LAB_BACKENDS", "LAB_API_BACKENDS", "LAB_STATIC_BACKENDS", "LAB_ADMIN_BACKENDS"];
        let elsewhere = self.scene.free_address()?.to_string();
        let mut settings: Vec<_> = lists.iter().map(|name| (*name, &*stranger)).collect();
        settings.extend([("LAB_LISTEN", &*elsewhere), ("LAB_HEALTH_INTERVAL_MS", "30000")]);
        let write = |listen| self.file(listen);
        let started = self.scene.start_configured(&[], &settings, &write).await;
        started.map_err(|finding| match finding {
            Finding::Fail(found) => {
                let curl = "curl -i http://127.0.0.1:6187/".to_owned();
                found.repeat(self.by_hand(false, [curl])).fail()
            }
            inconclusive => inconclusive,
        })
    }

    fn listens_only_there(&self, running: &Running<'_>) -> Outcome {
        let there = running.listens_on()?;
        let wanted: Vec<_> = [running.listen].into_iter().chain(self.second).collect();
        let any = |address: &SocketAddr| wanted.iter().any(|one| one.port() == address.port());
        let found = |id: &'static str, address: SocketAddr| {
            let shown = |all: &[SocketAddr]| {
                all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            Err(Diagnosis::new(id)
                .compared(shown(&wanted), shown(&there))
                .with("address", address.to_string())
                .repeat(self.by_hand(false, ["ss -ltnp".to_owned()]))
                .fail())
        };
        match there.iter().find(|address| !any(address)) {
            Some(address) => found("listens-beside", *address),
            None => Ok(()),
        }
    }

    /// The second listener may have come a moment later than the first.
    async fn answers_on_both(&self, running: &Running<'_>) -> Outcome {
        let Some(second) = self.second else { return Ok(()) };
        let there = running.listens_on()?;
        if there.iter().any(|address| address.port() == second.port()) {
            return Ok(());
        }
        let shown = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Diagnosis::new("listener-missing")
            .compared(format!("{} and {second}", running.listen), shown)
            .with("address", second.to_string())
            .repeat(self.by_hand(false, ["curl -i http://127.0.0.1:6187/".to_owned()]))
            .fail())
    }

    /// So many requests go to this pool, and to each of its backends.
    async fn goes_to(
        &self,
        running: &Running<'_>,
        host: Option<&str>,
        path: &str,
        pool: usize,
        count: usize,
    ) -> Outcome {
        let wanted = &self.pools[pool];
        let mut shares = vec![0; wanted.backends.len()];
        for _ in 0..count {
            let request = self.request(running, host, path);
            let exchange = Exchange::of(self.scene, running.client(), request).await;
            let (received, answer) = exchange.through(self.scene, running).await.map_err(|f| {
                f.map(|found| self.with_file(found.with("route", self.fitting(host, path))))
            })?;
            if answer.status != 200 {
                let found = exchange.found(self.scene, "status-changed");
                return Err(found.compared(200, answer.status).fail());
            }
            let place = wanted.backends.iter().position(|one| one.name() == &*received.backend);
            match place {
                Some(place) => shares[place] += 1,
                None => return Err(self.wrong_pool(&exchange, received, host, path, pool)),
            }
        }
        if count < shares.len() || !shares.contains(&0) {
            return Ok(());
        }
        let host = host.map_or_else(String::new, |host| format!("--host {host} "));
        let probe = format!("pingora-lab probe --count {count} {host}http://127.0.0.1:6188{path}");
        Err(Diagnosis::new("backends-left-out")
            .repeat(self.by_hand(true, [probe]))
            .compared("a share for each", in_words(&shares))
            .with("pool", &*wanted.name)
            .with("requests", count)
            .with("backends", shares.len())
            .fail())
    }

    fn request(&self, running: &Running<'_>, host: Option<&str>, path: &str) -> Request {
        running.request("GET", path).for_host(host)
    }

    fn wrong_pool(
        &self,
        exchange: &Exchange,
        received: &Received,
        host: Option<&str>,
        path: &str,
        pool: usize,
    ) -> Finding {
        let reached = self
            .pools
            .iter()
            .position(|pool| pool.backends.iter().any(|one| one.name() == &*received.backend));
        // Also fits, and fits less: the program has taken the first, or the last.
        let fits_too = |route: &Route| Some(route.pool) == reached && route.fits(host, path);
        let id = match reached {
            None => "variables-win",
            Some(_) if self.routes.iter().any(fits_too) => "order-decides",
            Some(_) => "route-not-followed",
        };
        let name = |pool: usize| self.pools[pool].name.clone();
        let reached = reached.map_or_else(|| "no pool of the file".to_owned(), name);
        self.with_file(exchange.found(self.scene, id))
            .compared(
                format!("a backend of {}", name(pool)),
                format!("{reached}: {}", received.backend),
            )
            .with("pool", name(pool))
            .with("reached", reached)
            .with("route", self.fitting(host, path))
            .fail()
    }

    /// No route fits: 404, and nobody is asked.
    async fn goes_nowhere(&self, running: &Running<'_>, host: Option<&str>, path: &str) -> Outcome {
        let request = self.request(running, host, path);
        let exchange = Exchange::of(self.scene, running.client(), request).await;
        let actual = match (&exchange.answer, exchange.received.first()) {
            (Ok(answer), None) if answer.status == 404 => return Ok(()),
            (_, Some(received)) => format!("it went to {}", received.backend),
            (Ok(answer), None) => format!("status {}", answer.status),
            (Err(trouble), None) => {
                return Err(running.trouble(trouble, &exchange.request).await);
            }
        };
        let found = self.with_file(exchange.found(self.scene, "default-invented"));
        Err(found.compared("404, and no backend is asked", actual).fail())
    }

    /// Every backend of this pool is looked at, as often as the file says.
    async fn looks_as_often(&self, pool: usize, interval: Duration) -> Outcome {
        let begun = Instant::now();
        let deadline = begun + interval * u32::try_from(LOOKS).unwrap_or(1) + SLACK;
        let all: Vec<_> = self.pools[pool].backends.iter().collect();
        let looks = Looks::wait(self.scene, &all, 0, LOOKS, deadline).await;
        if looks.fewest() >= LOOKS {
            return Ok(());
        }
        let counts: Vec<_> = looks.counts().collect();
        let seconds = format!("{:.1}", begun.elapsed().as_secs_f64());
        Err(Diagnosis::new("file-interval-ignored")
            .repeat(self.looked_at_by_hand(pool))
            .compared(
                format!("each backend looked at every {} ms", interval.as_millis()),
                format!("{} times in {seconds} s", in_words(&counts)),
            )
            .with("interval_ms", u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
            .with("seconds", seconds)
            .with("counts", in_words(&counts))
            .timed()
            .fail())
    }

    /// Nor is any of this pool by an interval that is another pool's, or none of the file's. A
    /// slow machine looks less often, and not more.
    async fn looks_as_rarely(&self, pool: usize) -> Outcome {
        let all: Vec<_> = self.pools[pool].backends.iter().collect();
        let looks = Looks::wait(self.scene, &all, 0, 0, Instant::now()).await;
        if looks.most() <= RARE_LOOKS {
            return Ok(());
        }
        let counts: Vec<_> = looks.counts().collect();
        let first = looks.at.iter().flatten().min();
        let seconds = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
        Err(Diagnosis::new("file-interval-ignored")
            .repeat(self.looked_at_by_hand(pool))
            .compared(
                format!("backends of {} looked at every {RARELY:?}", self.pools[pool].name),
                format!("{} times in {seconds:.1} s", in_words(&counts)),
            )
            .with("interval_ms", u64::try_from(RARELY.as_millis()).unwrap_or(u64::MAX))
            .with("seconds", format!("{seconds:.1}"))
            .with("counts", in_words(&counts))
            .fail())
    }

    /// The routes that fit a request, as they stand in the file.
    fn fitting(&self, host: Option<&str>, path: &str) -> String {
        let fitting = self.routes.iter().filter(|route| route.fits(host, path));
        let shown = |route: &Route| {
            let hosts: Vec<_> = route.hosts.iter().map(String::as_str).collect();
            let pool = &self.pools[route.pool].name;
            let table = ConfigFile::new().route(&hosts, route.prefix.as_deref(), pool).text();
            table.lines().collect::<Vec<_>>().join(" ")
        };
        fitting.map(shown).collect::<Vec<_>>().join("; ")
    }

    fn with_file(&self, found: Diagnosis) -> Diagnosis {
        let curl = found.repeat.iter().find(|command| command.starts_with("curl")).cloned();
        let commands = self.by_hand(false, curl);
        found.repeat(commands)
    }

    /// The same with a backend of this pool that tells of each look.
    fn looked_at_by_hand(&self, pool: usize) -> Vec<String> {
        let mut commands = self.by_hand(false, []);
        commands[0] = format!("nc -lkv 127.0.0.1 {}", 6190 + pool);
        commands
    }

    /// The file with the addresses of the lab backends, how to run it, and these commands. Each
    /// pool has a backend of its own, by which it is known, or as many as in the check.
    fn by_hand(&self, several: bool, then: impl IntoIterator<Item = String>) -> Vec<String> {
        let lab = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let file = ConfigFile::new().listener(lab(6188)).listener(lab(6187));
        let file = (6190..).zip(&self.pools).fold(file, |file, (own, pool)| {
            let (first, count) = if several { (6190, pool.backends.len()) } else { (own, 1) };
            file.pool(&pool.name, pool.interval, (first..).take(count).map(lab))
        });
        let file = self.routes.iter().fold(file, |file, Route { hosts, prefix, pool }| {
            let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
            file.route(&hosts, prefix.as_deref(), &self.pools[*pool].name)
        });
        let mut commands = vec![
            "pingora-lab backends".to_owned(),
            file.command("lab.toml"),
            // Nobody is where the variable leads.
            format!("LAB_BACKENDS=127.0.0.1:6199 LAB_CONFIG=$PWD/lab.toml pingora-lab run {ID}"),
        ];
        commands.extend(then);
        commands
    }
}

// === impl Route ===

impl Route {
    fn fits(&self, host: Option<&str>, path: &str) -> bool {
        let host_fits = self.hosts.is_empty()
            || host.is_some_and(|host| self.hosts.iter().any(|one| one == host));
        let below = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        host_fits && self.prefix.as_ref().is_none_or(below)
    }
}
