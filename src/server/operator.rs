//! Whoever runs the load balancer, as far as the process does it: begins with a
//! configuration, takes care of its pools, and puts another in its place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::admin::Gate;
use super::changes::Changes;
use super::descriptors;
use super::door::{Entrance, Rules};
use super::file_watch::FileWatches;
use crate::config::{Auth, Config, ListenerTls, UpstreamTls};
use crate::proxy::{Current, Metrics, Pool, Snapshot};

/// How long the first check of a reload's new pools may hold it up; each
/// connection has its own, shorter limit.
const FIRST_CHECK: Duration = Duration::from_secs(10);

/// Reads the configuration again, as it was read at first: the file, and the
/// flags over it. An error is one line for people.
pub type Reader = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Where the configuration comes from.
pub struct Origin {
    read: Reader,
    file: Option<PathBuf>,
    watches: FileWatches,
}

/// Begins with a configuration and puts others in its place.
pub struct Operator {
    origin: Origin,
    current: Arc<Current>,
    /// The listeners, by the address that the configuration gives them.
    entrances: Vec<(SocketAddr, Arc<Entrance>)>,
    /// The configuration that requests go by now. Held while another is prepared.
    config: tokio::sync::Mutex<Config>,
    /// The configuration that the process began with.
    began_with: Config,
    metrics: Metrics,
    /// Who may ask the admin listener, if there is one.
    gate: Option<Arc<Gate>>,
    /// The pools that are taken care of.
    cared_for: Mutex<Vec<(Arc<Pool>, AbortHandle)>>,
    loaded: Mutex<Loaded>,
    last: Mutex<Option<Reload>>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// The configuration that requests go by.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// When it was read.
    pub at: jiff::Timestamp,
    /// The SHA-256 of what `--print-config` prints of it.
    pub sha256: String,
    /// What of it takes effect after a restart only.
    pub needs_restart: Vec<&'static str>,
    /// How many connections it allows.
    pub connections: u32,
}

/// How the last reload went.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When it was.
    pub at: jiff::Timestamp,
    /// What has changed, or why nothing has.
    pub result: Result<Reloaded, String>,
}

/// What a reload has changed.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    /// Against the configuration before it.
    pub changes: Changes,
    /// What differs from what the process began with and takes effect after a restart
    /// only.
    pub needs_restart: Vec<&'static str>,
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug)]
pub struct Reloads {
    /// With success.
    pub succeeded: u64,
    /// Without.
    pub failed: u64,
    /// Whether the last one had success, or there was none.
    pub last_succeeded: bool,
}

/// A backend that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("There is no {kind} \"{name}\"; there are {}.", known.join(", "))]
pub struct Unknown {
    kind: &'static str,
    name: String,
    known: Vec<String>,
}

// === impl Origin ===

impl Origin {
    /// Begins to watch the file, if there is one. Made before the configuration is
    /// read for the first time, so that no change is missed.
    pub fn watched(file: Option<&Path>, read: Reader) -> Self {
        let file = file.map(Path::to_owned);
        let mut watches = FileWatches::default();
        watches.keep(file.as_slice());
        Self { read, file, watches }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn read(&self) -> Result<Config, String> {
        (self.read)()
    }

    /// The file that the configuration is read from, and those that it names.
    fn files(&self, config: &Config) -> Vec<PathBuf> {
        let listeners = config.listeners.iter().filter_map(|l| l.tls.as_ref());
        let pools = config.pools.iter().filter_map(|pool| pool.tls.as_ref());
        let tls = listeners.flat_map(ListenerTls::files).chain(pools.flat_map(UpstreamTls::files));
        let auth = config.auth.values().flat_map(Auth::files);
        let file = self.file.as_deref().into_iter();
        file.chain(tls.map(|named| named.path)).chain(auth).map(Path::to_owned).collect()
    }

    /// Begins to watch what the configuration names too, before it is read.
    pub(super) fn watch_named(&mut self, config: &Config) {
        let files = self.files(config);
        self.watches.keep(&files);
    }

    pub(super) fn take_watches(&mut self) -> FileWatches {
        std::mem::take(&mut self.watches)
    }
}

// === impl Operator ===

impl Operator {
    /// Resolves all names and checks all backends of a validated configuration.
    ///
    /// # Errors
    ///
    /// A backend's name does not resolve ([`Unresolved`](crate::proxy::Unresolved)), or a
    /// file can no longer be used.
    pub async fn begin(
        config: Config,
        origin: Origin,
        entrances: &[Arc<Entrance>],
        metrics: Metrics,
        gate: Option<Arc<Gate>>,
    ) -> anyhow::Result<Arc<Self>> {
        let snapshot = Snapshot::prepare(&config, None, &metrics)?;
        for pool in snapshot.pools() {
            pool.resolve().await?;
        }
        let checks = snapshot.pools().iter().map(|pool| pool.check());
        futures_util::future::join_all(checks).await;
        let addresses = config.listeners.iter().map(|listener| listener.address);
        let operator = Arc::new(Self {
            origin,
            entrances: addresses.zip(entrances.iter().cloned()).collect(),
            current: Current::new(snapshot),
            loaded: Mutex::new(Loaded::now(&config, Vec::new())),
            began_with: config.clone(),
            config: tokio::sync::Mutex::new(config),
            metrics,
            gate,
            cared_for: Mutex::default(),
            last: Mutex::default(),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        operator.take_care();
        Ok(operator)
    }

    /// What requests go by.
    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// The file of the configuration, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.origin.file.as_deref()
    }

    /// The configuration that requests go by.
    pub fn loaded(&self) -> Loaded {
        self.loaded.lock().clone()
    }

    /// How often the configuration was read again.
    pub fn reloads(&self) -> Reloads {
        Reloads {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            last_succeeded: self.last.lock().as_ref().is_none_or(|last| last.result.is_ok()),
        }
    }

    /// Gives a backend no new requests, or gives it requests again.
    ///
    /// # Errors
    ///
    /// There is no such pool or backend.
    pub async fn set_drained(
        &self,
        pool: &str,
        backend: &str,
        drained: bool,
    ) -> Result<(), Unknown> {
        // A reload that is under way would not know of it.
        let _config = self.config.lock().await;
        let snapshot = self.current.load();
        let known = snapshot.pool(pool).ok_or_else(|| Unknown {
            kind: "pool",
            name: pool.to_owned(),
            known: snapshot.pools().iter().map(|pool| pool.name().to_owned()).collect(),
        })?;
        match known.set_drained(backend, drained) {
            true => Ok(()),
            false => Err(Unknown {
                kind: "backend",
                name: backend.to_owned(),
                known: known.labels().map(str::to_owned).collect(),
            }),
        }
    }

    /// How the last reload went, if there was one.
    pub fn last_reload(&self) -> Option<Reload> {
        self.last.lock().clone()
    }

    /// Reads the configuration again and puts it in the place of the one that
    /// requests go by; if anything is wrong with it, nothing changes. Returns what
    /// has changed.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub async fn reload(&self) -> Result<Reloaded, String> {
        let mut config = self.config.lock().await;
        let result = self.prepare_and_replace(&mut config).await;
        // First the deed, then the word: who reads the line can rely on it.
        (if result.is_ok() { &self.succeeded } else { &self.failed }).fetch_add(1, Relaxed);
        *self.last.lock() = Some(Reload { at: jiff::Timestamp::now(), result: result.clone() });
        match &result {
            Ok(reloaded) if reloaded.needs_restart.is_empty() => {
                info!(target: "reload", "the configuration was reloaded");
            }
            Ok(reloaded) => warn!(target: "reload",
                needs_restart = reloaded.needs_restart.join(" "),
                "the configuration was reloaded, but some of it needs a restart"),
            Err(reason) => error!(target: "reload", reason,
                "the configuration was not reloaded, the old one stays"),
        }
        result
    }

    async fn prepare_and_replace(&self, config: &mut Config) -> Result<Reloaded, String> {
        // A file on a slow disk must not hold up requests.
        let (new, rules, earlier, snapshot) = tokio::task::block_in_place(|| {
            let new = self.origin.read()?;
            let rules = self.entrance_rules(&new)?;
            let earlier = Arc::clone(&self.current.load());
            let snapshot = Snapshot::prepare(&new, Some(&earlier), &self.metrics)
                .map_err(|e| e.to_string())?;
            Ok::<_, String>((new, rules, earlier, snapshot))
        })?;
        let known = |pool: &&Arc<Pool>| !earlier.pools().iter().any(|old| Arc::ptr_eq(old, pool));
        let added: Vec<_> = snapshot.pools().iter().filter(known).cloned().collect();
        for pool in &added {
            pool.resolve().await.map_err(|error| error.to_string())?;
        }
        let checks = futures_util::future::join_all(added.iter().map(|pool| pool.check()));
        // A backend that does not answer in this time is unhealthy, which is known
        // of it then.
        let _ = tokio::time::timeout(FIRST_CHECK, checks).await;
        let needs_restart = needs_restart(&self.began_with, &new);
        if new.limits.connections != config.limits.connections {
            descriptors::raise_limit(&new.limits);
        }
        self.current.replace(snapshot);
        for (entrance, rules) in rules {
            entrance.swap(rules);
        }
        if let (Some(gate), Some(admin)) = (&self.gate, &new.admin) {
            gate.swap(admin);
        }
        self.take_care();
        let changes = Changes::between(config, &new);
        *self.loaded.lock() = Loaded::now(&new, needs_restart.clone());
        *config = new;
        Ok(Reloaded { changes, needs_restart })
    }

    /// The rules of those listeners that stay.
    fn entrance_rules(&self, new: &Config) -> Result<Vec<(&Entrance, Rules)>, String> {
        let mut rules = Vec::new();
        for (place, (address, entrance)) in self.entrances.iter().enumerate() {
            let has_it = |index: &usize| {
                new.listeners.get(*index).is_some_and(|listener| listener.address == *address)
            };
            // Several can ask for port 0, so the place counts first.
            let index = Some(place).filter(has_it);
            let Some(index) = index.or_else(|| (0..new.listeners.len()).find(has_it)) else {
                continue;
            };
            let loaded = Rules::load(&new.listeners[index], new);
            rules.push((&**entrance, loaded.map_err(|error| error.to_string())?));
        }
        Ok(rules)
    }

    /// Has those files watched that the configuration is read from now. Says whether
    /// some of them were not watched before.
    pub async fn watch(&self, watches: &mut FileWatches) -> bool {
        watches.keep(&self.origin.files(&*self.config.lock().await))
    }

    /// Takes care of the pools that requests go to now, and of no others.
    fn take_care(&self) {
        let snapshot = self.current.load();
        let mut cared_for = self.cared_for.lock();
        cared_for.retain(|(pool, care)| {
            let stays = snapshot.pools().iter().any(|now| Arc::ptr_eq(now, pool));
            if !stays {
                care.abort();
            }
            stays
        });
        for pool in snapshot.pools() {
            if !cared_for.iter().any(|(known, _)| Arc::ptr_eq(known, pool)) {
                let task = Arc::clone(pool);
                let care = tokio::spawn(async move { task.care().await });
                cared_for.push((Arc::clone(pool), care.abort_handle()));
            }
        }
    }

    /// Whether the care for a pool has ended by itself, which is a fault.
    pub fn has_lost_care(&self) -> bool {
        self.cared_for.lock().iter().any(|(_, care)| care.is_finished())
    }
}

// === impl Loaded ===

impl Loaded {
    fn now(config: &Config, needs_restart: Vec<&'static str>) -> Self {
        // A configuration that cannot be written down has no fingerprint.
        let written = config.to_toml().unwrap_or_default();
        let hash = Sha256::digest(written.as_bytes());
        Self {
            at: jiff::Timestamp::now(),
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            needs_restart,
            connections: config.limits.connections.get(),
        }
    }
}

/// What differs and cannot be changed while the process runs.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let addresses = |config: &Config| -> Vec<_> {
        config.listeners.iter().map(|listener| listener.address).collect()
    };
    let admin = |config: &Config| config.admin.as_ref().map(|admin| admin.address);
    // What an HTTP/2 connection is told at its beginning is Pingora's for all.
    let http2 = |config: &Config| {
        let limits = &config.limits;
        (limits.http2_streams, limits.http2_idle_timeout, limits.http2_resets, limits.header_size)
    };
    [
        ("threads", old.threads != new.threads),
        ("listener", addresses(old) != addresses(new)),
        ("limits.http2", http2(old) != http2(new)),
        ("shutdown", old.shutdown != new.shutdown),
        ("upgrade", old.upgrade != new.upgrade),
        ("log", old.log != new.log),
        ("admin", admin(old) != admin(new)),
        ("metrics", old.metrics != new.metrics),
        ("access_log", old.access_log != new.access_log),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
