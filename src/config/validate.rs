//! What concerns several values at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{Backend, Config, LimitBy, ListenerTls, PolicyName, Pool, Route, UpstreamTls};

/// A mistake that no single value shows. Its text names the values itself;
/// where it stands in a file, its place can be found by `at`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// What is wrong and what to do.
    pub message: String,
    /// The way to the value, from the whole.
    pub at: Vec<Step>,
}

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list.
    Item(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(item: usize) -> Self {
        Self::Item(item)
    }
}

/// The way to a value, from whatever is looked at.
macro_rules! at {
    ($($step:expr),*) => { vec![$($crate::config::Step::from($step)),*] };
}

pub(super) use at;

pub(super) fn misfit(at: Vec<Step>, message: impl fmt::Display) -> Misfit {
    Misfit { message: message.to_string(), at }
}

impl Config {
    /// Checks what concerns several values at once.
    ///
    /// # Errors
    ///
    /// The first mistake found, in words that name the values concerned.
    pub fn validate(&self) -> Result<(), Misfit> {
        self.validate_listeners()?;
        self.validate_admin()?;
        if self.pools.is_empty() && !self.routes.iter().any(|r| r.pool.is_none()) {
            return Err(misfit(vec![], "no [[pool]]: add one with a [[pool.backend]]"));
        }
        for (index, pool) in self.pools.iter().enumerate() {
            if self.pools[..index].iter().any(|other| other.name == pool.name) {
                return Err(misfit(
                    at!["pool", index, "name"],
                    format!("two pools are called \"{}\": rename one", pool.name),
                ));
            }
            validate_pool(index, pool)?;
        }
        if self.routes.is_empty()
            && let [_, second, ..] = self.pools.as_slice()
        {
            return Err(misfit(
                at!["pool", 1usize],
                format!(
                    "there are several pools and no [[route]], so nothing would be sent to \"{}\": \
                     add routes, or keep one pool",
                    second.name
                ),
            ));
        }
        self.validate_policies()?;
        let mut names = HashMap::new();
        for (index, route) in self.routes.iter().enumerate() {
            if let Some(name) = &route.name
                && names.insert(name.as_str(), index).is_some()
            {
                return Err(misfit(
                    at!["route", index, "name"],
                    format!("two routes are called \"{name}\": rename one"),
                ));
            }
            self.validate_route(index, route)?;
        }
        Ok(())
    }

    fn validate_listeners(&self) -> Result<(), Misfit> {
        if self.listeners.is_empty() {
            return Err(misfit(vec![], "no [[listener]]: add one with an address"));
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let address = listener.address;
            if address.port() != 0 && self.listeners[..index].iter().any(|l| l.address == address) {
                return Err(misfit(
                    at!["listener", index, "address"],
                    format!("two listeners on {address}: remove one"),
                ));
            }
            if let Some(wrong) = listener.tls.as_ref().and_then(ListenerTls::misfit) {
                let at = [at!["listener", index, "tls"], wrong.at].concat();
                return Err(misfit(at, wrong.message));
            }
        }
        Ok(())
    }

    fn validate_admin(&self) -> Result<(), Misfit> {
        let Some(admin) = &self.admin else { return Ok(()) };
        let address = admin.address;
        let wrong = |message: String| Err(misfit(at!["admin", "address"], message));
        if address.port() != 0 && self.listeners.iter().any(|l| l.address == address) {
            return wrong(format!("[admin] and a listener are both on {address}: move one"));
        }
        if !address.ip().to_canonical().is_loopback() && admin.token.is_none() {
            return wrong(format!(
                "other machines can reach {address}: add a token to [admin], or use 127.0.0.1"
            ));
        }
        Ok(())
    }

    fn validate_policies(&self) -> Result<(), Misfit> {
        let access = self.access.iter().map(|(name, policy)| ("access", name, policy.misfit()));
        let cors = self.cors.iter().map(|(name, policy)| ("cors", name, policy.misfit()));
        let limits = self.rate_limit.iter();
        let limits = limits.map(|(name, policy)| ("rate_limit", name, policy.misfit()));
        let auth = self.auth.iter().map(|(name, policy)| ("auth", name, policy.misfit()));
        for (kind, name, wrong) in access.chain(cors).chain(limits).chain(auth) {
            if let Some(Misfit { message, at }) = wrong {
                let at = [at![kind, name.as_str()], at].concat();
                return Err(misfit(at, format!("{kind} \"{name}\": {message}")));
            }
        }
        Ok(())
    }

    /// The policies that a route names must be there.
    fn validate_named(&self, index: usize, route: &Route) -> Result<(), Misfit> {
        let lists = [
            ("access", "access policy", &route.access, names(&self.access)),
            ("rate_limit", "rate limit", &route.rate_limit, names(&self.rate_limit)),
        ];
        for (key, kind, wanted, known) in lists {
            for (place, name) in wanted.iter().enumerate() {
                let at = at!["route", index, key, place];
                if wanted[..place].contains(name) {
                    return Err(misfit(
                        at,
                        format!("{kind} \"{name}\" is named twice: once is enough"),
                    ));
                }
                known_name(name, known.iter().copied(), kind, at)?;
            }
        }
        if let Some(name) = &route.cors {
            known_name(name, names(&self.cors), "CORS policy", at!["route", index, "cors"])?;
        }
        if let Some(name) = &route.auth {
            known_name(name, names(&self.auth), "auth policy", at!["route", index, "auth"])?;
        }
        for (place, name) in route.rate_limit.iter().enumerate() {
            let by = self.rate_limit.get(name.as_str()).map(|limit| &limit.by);
            if by == Some(&LimitBy::Identity) && route.auth.is_none() {
                return Err(misfit(
                    at!["route", index, "rate_limit", place],
                    format!(
                        "rate limit \"{name}\" goes by identity, which nobody asks for: add auth"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn validate_route(&self, index: usize, route: &Route) -> Result<(), Misfit> {
        let wrong = |key: &str, message: String| Err(misfit(at!["route", index, key], message));
        let actions = [
            ("pool", route.pool.is_some()),
            ("redirect", route.redirect.is_some()),
            ("answer", route.answer.is_some()),
        ];
        match first_two(actions) {
            (None, _) => {
                return Err(misfit(
                    at!["route", index],
                    "the route does nothing: add pool, redirect or answer",
                ));
            }
            (Some(first), Some(second)) => {
                return wrong(second, format!("the route has {first} and {second}: keep one"));
            }
            (Some(_), None) => {}
        }
        if route.path.is_some() && route.prefix.is_some() {
            return wrong("prefix", "the route has path and prefix: keep one".to_owned());
        }
        if route.strip_prefix && route.prefix.is_none() {
            return wrong("strip_prefix", "there is no prefix to strip: add prefix".to_owned());
        }
        if route.strip_prefix && route.rewrite.is_some() {
            return wrong("rewrite", "the route has strip_prefix and rewrite: keep one".to_owned());
        }
        if route.rewrite.is_some() && route.path.is_none() && route.prefix.is_none() {
            return wrong("rewrite", "there is nothing to rewrite: add path or prefix".to_owned());
        }
        if route.compress.as_ref().is_some_and(|compress| compress.codings.is_empty()) {
            return Err(misfit(
                at!["route", index, "compress", "codings"],
                "nothing could be compressed: name a coding, like \"gzip\"",
            ));
        }
        if let Some(pool) = &route.pool {
            let known = self.pools.iter().map(|pool| pool.name.as_str());
            known_name(pool, known, "pool", at!["route", index, "pool"])?;
        }
        self.validate_named(index, route)
    }
}

/// What the policies of a kind are called.
fn names<T>(policies: &BTreeMap<PolicyName, T>) -> Vec<&str> {
    policies.keys().map(PolicyName::as_str).collect()
}

fn validate_pool(index: usize, pool: &Pool) -> Result<(), Misfit> {
    let name = &pool.name;
    if pool.backends.is_empty() {
        return Err(misfit(
            at!["pool", index],
            format!("pool \"{name}\" has no [[pool.backend]]: add one with an address"),
        ));
    }
    let labels: Vec<_> = pool.backends.iter().map(Backend::label).collect();
    for (place, label) in labels.iter().enumerate() {
        if labels[..place].contains(label) {
            return Err(misfit(
                at!["pool", index, "backend", place],
                format!("two backends are called \"{label}\": give each a name of its own"),
            ));
        }
    }
    if let Some(tls) = &pool.tls {
        validate_tls(index, pool, tls)?;
    }
    if pool.health_check.status.is_empty() {
        return Err(misfit(
            at!["pool", index, "health_check", "status"],
            format!("pool \"{name}\" could never be healthy: name a status, like 200"),
        ));
    }
    Ok(())
}

fn validate_tls(index: usize, pool: &Pool, tls: &UpstreamTls) -> Result<(), Misfit> {
    if !tls.verify && tls.ca.is_some() {
        return Err(misfit(
            at!["pool", index, "tls", "ca"],
            "nothing is verified, so ca has no use: remove verify = false, or ca",
        ));
    }
    for (place, backend) in pool.backends.iter().enumerate() {
        let name = pool.server_name(backend);
        if rustls::pki_types::ServerName::try_from(name.as_str()).is_err() {
            return Err(misfit(
                at!["pool", index, "backend", place],
                format!("\"{name}\" cannot be asked for over TLS: give the pool's tls an sni"),
            ));
        }
    }
    Ok(())
}

/// The first two of those keys that are there, where there is to be one.
pub(super) fn first_two<const N: usize>(
    keys: [(&'static str, bool); N],
) -> (Option<&'static str>, Option<&'static str>) {
    let mut there = keys.into_iter().filter(|(_, there)| *there).map(|(key, _)| key);
    (there.next(), there.next())
}

/// The name must be known; where it is not, the one that was probably meant is
/// named.
pub(super) fn known_name<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    kind: &str,
    at: Vec<Step>,
) -> Result<(), Misfit> {
    let known: Vec<_> = known.into_iter().collect();
    if known.contains(&name) {
        return Ok(());
    }
    let hint = match (meant(name, &known), known.as_slice()) {
        (Some(other), _) => format!("did you mean \"{other}\"?"),
        (None, []) => "there is none yet, add one".to_owned(),
        (None, known) => format!("there are {}", quoted(known)),
    };
    Err(misfit(at, format!("there is no {kind} \"{name}\": {hint}")))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// The known word that a mistyped one was probably meant to be.
pub(super) fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), *other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
