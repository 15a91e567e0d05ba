//! Whoever runs the load balancer, as far as the process does it: begins with a
//! configuration, takes care of its pools, and puts another in its place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::door::{Entrance, Rules};
use super::file_watch::FileWatches;
use crate::config::{Config, ListenerTls, UpstreamTls};
use crate::proxy::{Current, Pool, Snapshot};

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
    /// The pools that are taken care of.
    cared_for: Mutex<Vec<(Arc<Pool>, AbortHandle)>>,
    last: Mutex<Option<Reload>>,
}

/// How the last reload went.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the admin listener will show it")]
pub struct Reload {
    /// When it was.
    pub at: jiff::Timestamp,
    /// What has changed but needs a restart, or why nothing has changed.
    pub result: Result<Vec<&'static str>, String>,
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
        let named =
            listeners.flat_map(ListenerTls::files).chain(pools.flat_map(UpstreamTls::files));
        let file = self.file.as_deref().into_iter();
        file.chain(named.map(|named| named.path)).map(Path::to_owned).collect()
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
    ) -> anyhow::Result<Arc<Self>> {
        let snapshot = Snapshot::prepare(&config, None)?;
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
            config: tokio::sync::Mutex::new(config),
            cared_for: Mutex::default(),
            last: Mutex::default(),
        });
        operator.take_care();
        Ok(operator)
    }

    /// What requests go by.
    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// How the last reload went, if there was one.
    #[expect(dead_code, reason = "the admin listener will show it")]
    pub fn last_reload(&self) -> Option<Reload> {
        self.last.lock().clone()
    }

    /// Reads the configuration again and puts it in the place of the one that
    /// requests go by; if anything is wrong with it, nothing changes. Returns what
    /// has changed but needs a restart.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub async fn reload(&self) -> Result<Vec<&'static str>, String> {
        let mut config = self.config.lock().await;
        let result = self.prepare_and_replace(&mut config).await;
        match &result {
            Ok(kept) if kept.is_empty() => {
                info!(target: "reload", "the configuration was reloaded");
            }
            Ok(kept) => warn!(target: "reload", needs_restart = kept.join(" "),
                "the configuration was reloaded, but some of it needs a restart"),
            Err(reason) => error!(target: "reload", reason,
                "the configuration was not reloaded, the old one stays"),
        }
        *self.last.lock() = Some(Reload { at: jiff::Timestamp::now(), result: result.clone() });
        result
    }

    async fn prepare_and_replace(&self, config: &mut Config) -> Result<Vec<&'static str>, String> {
        // A file on a slow disk must not hold up requests.
        let (new, rules, earlier, snapshot) = tokio::task::block_in_place(|| {
            let new = self.origin.read()?;
            let rules = self.entrance_rules(&new)?;
            let earlier = Arc::clone(&self.current.load());
            let snapshot = Snapshot::prepare(&new, Some(&earlier)).map_err(|e| e.to_string())?;
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
        let kept = needs_restart(config, &new);
        self.current.replace(snapshot);
        for (entrance, rules) in rules {
            entrance.swap(rules);
        }
        self.take_care();
        *config = new;
        Ok(kept)
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

/// What differs and cannot be changed while the process runs.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let addresses = |config: &Config| -> Vec<_> {
        config.listeners.iter().map(|listener| listener.address).collect()
    };
    // What an HTTP/2 connection is told at its beginning is Pingora's for all.
    let http2 = |config: &Config| {
        let limits = &config.limits;
        (limits.http2_streams, limits.http2_idle_timeout, limits.http2_resets, limits.header_size)
    };
    [
        ("threads", old.threads != new.threads),
        ("listener", addresses(old) != addresses(new)),
        ("limits.http2", http2(old) != http2(new)),
        ("log", old.log != new.log),
        ("access_log", old.access_log != new.access_log),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
