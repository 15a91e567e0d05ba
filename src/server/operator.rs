//! Whoever runs the load balancer, as far as the process does it: begins with a
//! configuration, takes care of its pools, and puts another in its place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use super::file_watch::FileWatch;
use crate::config::Config;
use crate::proxy::{Current, Pool, Snapshot, Unresolved};

/// How long the first check of a reload's new pools may hold it up; each
/// connection has its own, shorter limit.
const FIRST_CHECK: Duration = Duration::from_secs(10);

/// Reads the configuration again, as it was read at first: the file, and the
/// flags over it. An error is one line for people.
pub type Reader = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Where the configuration comes from.
pub struct Origin {
    read: Reader,
    watch: Option<FileWatch>,
}

/// Begins with a configuration and puts others in its place.
pub struct Operator {
    origin: Origin,
    current: Arc<Current>,
    /// The configuration that requests go by now. Held while another is prepared.
    config: tokio::sync::Mutex<Config>,
    /// The pools that are taken care of.
    cared_for: Mutex<Vec<(Arc<Pool>, AbortHandle)>>,
    last: Mutex<Option<Reload>>,
}

/// How the last reload went.
#[derive(Clone, Debug)]
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
        Self { read, watch: file.map(FileWatch::begin) }
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn read(&self) -> Result<Config, String> {
        (self.read)()
    }

    /// Waits until the file has another content; for ever, if there is none.
    pub(super) async fn changed(watch: &mut Option<FileWatch>) {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn take_watch(&mut self) -> Option<FileWatch> {
        self.watch.take()
    }
}

// === impl Operator ===

impl Operator {
    /// Resolves all names and checks all backends of a validated configuration.
    ///
    /// # Errors
    ///
    /// A backend's name does not resolve.
    pub async fn begin(config: Config, origin: Origin) -> Result<Arc<Self>, Unresolved> {
        let snapshot = Snapshot::prepare(&config, None);
        for pool in snapshot.pools() {
            pool.resolve().await?;
        }
        let checks = snapshot.pools().iter().map(|pool| pool.check());
        futures_util::future::join_all(checks).await;
        let operator = Arc::new(Self {
            origin,
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
        let new = tokio::task::block_in_place(|| self.origin.read())?;
        let earlier = Arc::clone(&self.current.load());
        let snapshot = Snapshot::prepare(&new, Some(&earlier));
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
        self.take_care();
        *config = new;
        Ok(kept)
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
    [
        ("threads", old.threads != new.threads),
        ("listener", old.listeners != new.listeners),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}
