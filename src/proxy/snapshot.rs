//! A configuration, prepared: what requests go by.
//!
//! A snapshot never changes. A reload makes another one and puts it in the place
//! of the first, whole; a request keeps what it began with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::auth::{Guards, IdentityFields};
use super::forwarded::TrustedProxies;
use super::metrics::Metrics;
use super::policies::Prepared;
use super::pool::{Pool, Tls};
use super::route::Route;
use super::routes::Routes;
use super::trace::Traces;
use crate::config::{self, Config, Misfit, Step};

/// A configuration, prepared.
pub struct Snapshot {
    /// The pools, in the configuration's order.
    pools: Box<[Arc<Pool>]>,
    /// The routes, in the configuration's order.
    in_order: Box<[Arc<Route>]>,
    /// The policies that routes name.
    policies: Prepared,
    /// Which requests go where.
    pub routes: Routes,
    /// What is done with the others.
    pub not_found: Arc<Route>,
    /// The peers whose word about the client is believed.
    pub trusted: TrustedProxies,
    /// The fields that tell backends who the user is, which no client may send.
    pub identity_fields: IdentityFields,
    /// Whether and how traces are begun.
    pub traces: Traces,
}

/// The snapshot that requests begin with now.
pub struct Current(ArcSwap<Snapshot>);

// === impl Snapshot ===

impl Snapshot {
    /// Prepares a configuration that has been validated. What has not changed
    /// since `earlier` is taken over: a pool with all that it knows of its
    /// backends, a policy with all that it has counted.
    ///
    /// # Errors
    ///
    /// A file that the configuration names cannot be used.
    pub fn prepare(
        config: &Config,
        earlier: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, Misfit> {
        let pools = config.pools.iter().zip(pool_tls(config)?).map(|(written, tls)| {
            let known = earlier.and_then(|earlier| earlier.pool(&written.name));
            match known {
                Some(known) if known.is_of(written, &config.timeouts, tls.as_ref()) => {
                    Arc::clone(known)
                }
                known => {
                    let pool = Pool::new(written, &config.timeouts, tls, metrics);
                    if let Some(known) = known {
                        pool.inherit(known);
                    }
                    pool
                }
            }
        });
        let pools: Box<[_]> = pools.collect();
        let by_name: HashMap<_, _> = pools.iter().map(|pool| (pool.name(), pool)).collect();
        let policies = Prepared::new(config, earlier.map(|earlier| &earlier.policies), metrics)?;
        let implicit = config.routes.is_empty().then(|| to_the_pool(config));
        let routes = config.routes.iter().chain(implicit.as_ref()).enumerate();
        let routes = routes.map(|(index, written)| {
            let pool = written.pool.as_ref().and_then(|name| by_name.get(name.as_str()));
            let name = match &written.name {
                Some(name) => name.as_str().into(),
                None => (index + 1).to_string().into(),
            };
            let pool = pool.map(|pool| Arc::clone(pool));
            let route = Route::new(name, written, pool, &policies, config, metrics);
            (written.clone(), Arc::new(route))
        });
        let routes: Vec<_> = routes.collect();
        Ok(Self {
            in_order: routes.iter().map(|(_, route)| Arc::clone(route)).collect(),
            policies,
            routes: Routes::new(routes),
            not_found: Arc::new(Route::not_found(config, metrics)),
            traces: Traces::new(&config.trace),
            trusted: TrustedProxies::new(
                config.trusted_proxies.iter().map(|network| network.plain()),
            ),
            identity_fields: IdentityFields::new(config),
            pools,
        })
    }

    /// Reads the files that a configuration names for what is prepared here, and says
    /// whether they can be used.
    ///
    /// # Errors
    ///
    /// The first that cannot, and where it is named.
    pub fn inspect(config: &Config) -> Result<(), Misfit> {
        pool_tls(config)?;
        Guards::load(config, None, &Metrics::off()).map(|_| ())
    }

    /// The routes, in the configuration's order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.in_order
    }

    /// The pools, in the configuration's order.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// The pool of a name.
    pub fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.pools.iter().find(|pool| pool.name() == name)
    }
}

/// TLS with the backends of each pool.
fn pool_tls(config: &Config) -> Result<Vec<Option<Tls>>, Misfit> {
    let load = |(index, pool): (usize, &config::Pool)| {
        let Some(written) = &pool.tls else { return Ok(None) };
        Tls::load(written).map_err(|error| {
            let way = vec![Step::from("pool"), Step::from(index), Step::from("tls")];
            error.misfit(way, written.files())
        })
    };
    config.pools.iter().enumerate().map(load).collect()
}

/// The route of a configuration that has none: everything goes to the one pool.
fn to_the_pool(config: &Config) -> config::Route {
    config::Route {
        name: Some("default".to_owned()),
        pool: config.pools.first().map(|pool| pool.name.clone()),
        ..config::Route::default()
    }
}

// === impl Current ===

impl Current {
    /// Begins with a snapshot.
    pub fn new(snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(snapshot)))
    }

    /// The snapshot of now.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// Puts another in its place.
    pub fn replace(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}
