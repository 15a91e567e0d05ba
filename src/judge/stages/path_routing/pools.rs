//! A program with four pools, and which of them a request reached.

use std::fmt;
use std::time::{Duration, Instant};

use crate::backends::recording::{Received, RecordingBackend};
use crate::judge::client::Request;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::exchange::{Exchange, line};
use crate::judge::running::Running;
use crate::judge::scene::Scene;
use crate::judge::stages::looks::Looks;

/// How long the program may take to look at every backend for the first time.
/// Nothing is judged by it: a program without health checks does not look at all.
const FIRST_LOOK: Duration = Duration::from_millis(300);

/// One of the pools among which a program divides its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// `/api` and all below.
    Api,
    /// `/static` and all below.
    Static,
    /// Everything for the host of `LAB_ADMIN_HOST`.
    Admin,
    /// The rest.
    Default,
}

/// A program in front of backends in four pools.
pub struct Pools<'a> {
    /// The scene it is part of.
    pub scene: &'a Scene,
    /// The host of the pool `admin`, which nobody has written into the program.
    pub host: String,
    /// The program.
    pub running: Running<'a>,
    backends: [Vec<RecordingBackend>; 4],
    env: String,
}

// === impl Pool ===

impl Pool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Api, Self::Static, Self::Admin, Self::Default];

    /// The variable that names its backends.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Api => "LAB_API_BACKENDS",
            Self::Static => "LAB_STATIC_BACKENDS",
            Self::Admin => "LAB_ADMIN_BACKENDS",
            Self::Default => "LAB_BACKENDS",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Static => "static",
            Self::Admin => "admin",
            Self::Default => "default",
        }
    }

    /// With what the paths begin that are the pool's. Those of a host, and of the
    /// rest, may be any; such are as the lab backends answer.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Api => "/api",
            Self::Static => "/static",
            Self::Admin | Self::Default => "/anything",
        }
    }

    /// The pool that a backend of this name is in.
    fn of(backend: &str) -> Option<Self> {
        let name = backend.split(' ').next();
        Self::ALL.into_iter().find(|pool| Some(pool.name()) == name)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Pools ===

impl<'a> Pools<'a> {
    /// Starts the program with so many backends in each pool, which it need not
    /// look at again while it is judged.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(scene: &'a Scene, counts: [usize; 4]) -> Result<Self, Finding> {
        let interval = Duration::from_millis(scene.draw.number(30_000..90_000));
        let pools = Self::start_with(scene, counts, interval).await?;
        let all: Vec<_> = pools.all().collect();
        Looks::wait(scene, &all, 0, 1, Instant::now() + FIRST_LOOK).await;
        Ok(pools)
    }

    /// The same with this interval of its health checks, and without waiting for
    /// the first.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start_with(
        scene: &'a Scene,
        counts: [usize; 4],
        interval: Duration,
    ) -> Result<Self, Finding> {
        let draw = &scene.draw;
        let host = format!("{}.{}.test", draw.word(), draw.word());
        let interval = interval.as_millis().to_string();
        scene.plan(format!("pools of {counts:?}, the host {host}, looks every {interval} ms"));
        let started = |pool: Pool| scene.backends_named(pool.name(), counts[pool as usize]);
        let [api, files, admin, default] = Pool::ALL.map(started);
        let backends = [api?, files?, admin?, default?];
        let list = |pool: Pool| {
            let all = backends[pool as usize].iter().map(|one| one.address().to_string());
            all.collect::<Vec<_>>().join(",")
        };
        let lists = [Pool::Api, Pool::Static, Pool::Admin].map(|one| (one.variable(), list(one)));
        let mut settings = vec![("LAB_ADMIN_HOST", &*host), ("LAB_HEALTH_INTERVAL_MS", &*interval)];
        settings.extend(lists.iter().map(|(name, list)| (*name, &**list)));
        let running = scene.start_with(&backends[Pool::Default as usize], &settings).await?;
        let env = format!("LAB_ADMIN_HOST={host}");
        Ok(Self { scene, host, running, backends, env })
    }

    /// The backends of a pool.
    pub fn backends(&self, pool: Pool) -> &[RecordingBackend] {
        &self.backends[pool as usize]
    }

    /// The backends of all pools.
    pub fn all(&self) -> impl Iterator<Item = &RecordingBackend> {
        self.backends.iter().flatten()
    }

    /// A target that is the pool's, once its request is for the pool's host.
    pub fn target(&self, pool: Pool) -> String {
        format!("{}/{}/{}", pool.prefix(), self.scene.draw.word(), self.scene.draw.word())
    }

    /// A GET that is the pool's as plainly as can be.
    pub fn request(&self, pool: Pool) -> Request {
        self.get(self.target(pool)).for_host(self.host_of(pool))
    }

    /// The host that a request to this pool has to name, if it matters.
    pub fn host_of(&self, pool: Pool) -> Option<&str> {
        (pool == Pool::Admin).then_some(&*self.host)
    }

    /// A GET for the program's own address.
    pub fn get(&self, target: impl Into<String>) -> Request {
        self.running.request("GET", target)
    }

    /// Sends a request that no other accompanies.
    pub async fn send(&self, request: Request) -> Exchange {
        let host = host_named(&request);
        // The program's own address differs from run to run.
        let host = host.filter(|host| *host != self.running.listen.to_string());
        self.scene.plan(format!("{} for host {host:?}", line(&request)));
        Exchange::of(self.scene, self.running.client(), request).await
    }

    /// The pool that received the request, and what it received.
    ///
    /// # Errors
    ///
    /// None received it, or it was not answered as it should have been. `wanted`
    /// is the pool that should have.
    pub async fn reached<'b>(
        &self,
        exchange: &'b Exchange,
        wanted: Pool,
    ) -> Result<(Pool, &'b Received), Finding> {
        let scene = self.scene;
        let through = exchange.through(scene, &self.running).await;
        let (received, answer) = through.map_err(|finding| {
            if finding.diagnosis().id != "backend-never-tried" {
                return finding;
            }
            finding.map(|found| self.with_pool(found.renamed("pool-out-of-reach"), wanted))
        })?;
        if answer.status != 200 {
            let found = exchange.found(scene, "status-changed");
            return Err(found.compared(200, answer.status).fail());
        }
        let pool = Pool::of(&received.backend);
        let pool = pool.ok_or_else(|| scene.our_error("no such pool", &received.backend))?;
        Ok((pool, received))
    }

    /// That a request went to another pool than it should have.
    pub fn went_wrong(
        &self,
        exchange: &Exchange,
        id: &'static str,
        wanted: Pool,
        reached: Pool,
    ) -> Finding {
        let found = self.found(exchange, id, wanted);
        found
            .compared(format!("the pool {wanted}"), format!("the pool {reached}"))
            .with("reached", reached.name())
            .fail()
    }

    /// A diagnosis about a request that should go to this pool.
    pub fn found(&self, exchange: &Exchange, id: &'static str, wanted: Pool) -> Diagnosis {
        self.with_pool(exchange.found(self.scene, id), wanted)
    }

    /// Commands that show what a backend of the pool is asked for.
    pub fn arrives_by_hand(&self, exchange: &Exchange, pool: Pool) -> Vec<String> {
        let curl = self.scene.by_hand(&exchange.request).pop().unwrap_or_default();
        vec![
            "nc -lk 127.0.0.1 6193".to_owned(),
            format!(
                "{} {}=127.0.0.1:6193 pingora-lab run {}",
                self.env,
                pool.variable(),
                self.scene.stage()
            ),
            curl.replacen("curl ", "curl --max-time 2 ", 1),
        ]
    }

    fn with_pool(&self, found: Diagnosis, wanted: Pool) -> Diagnosis {
        // No other pool has the backend that answers for this one.
        let apart = match wanted {
            Pool::Api => "LAB_BACKENDS=127.0.0.1:6192",
            Pool::Static | Pool::Admin => "LAB_BACKENDS=127.0.0.1:6190",
            Pool::Default => "LAB_BACKENDS=127.0.0.1:6192 LAB_ADMIN_BACKENDS=127.0.0.1:6191",
        };
        let mut repeat = vec!["pingora-lab backends".to_owned()];
        repeat.extend(found.repeat.iter().map(|command| {
            if command.starts_with("pingora-lab run") {
                format!("{} {apart} {command}", self.env)
            } else {
                command.clone()
            }
        }));
        found
            .with("pool", wanted.name())
            .with("variable", wanted.variable())
            .with("host", &*self.host)
            .repeat(repeat)
    }
}

/// What a request says in its `Host`, if it has one.
pub fn host_named(request: &Request) -> Option<String> {
    let mut hosts = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    hosts.next().map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// The status with which the program itself has refused a request.
pub fn refusal(exchange: &Exchange) -> Option<u16> {
    let status = exchange.answer.as_ref().ok()?.status;
    (exchange.received.is_empty() && matches!(status, 300..=499)).then_some(status)
}
