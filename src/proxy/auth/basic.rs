//! Users and passwords (RFC 7617).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use super::cache::{Cache, KeyedHash};
use super::credential::authorization;
use super::denial::Denial;
use super::htpasswd::{Hash, Users};
use super::identity::{Identity, field_value};
use super::workshop::Workshop;
use crate::config;

/// Users and what verifies their passwords.
///
/// A hash takes a processor for a tenth of a second and more, on purpose; so it is
/// computed on a thread that may block, a few at a time, and one that was right is
/// remembered for a while. A wrong one is not remembered: it costs what it costs.
pub struct Basic {
    users: HashMap<Box<str>, (Arc<Hash>, Arc<Identity>)>,
    /// What passwords of users that do not exist are verified against.
    decoys: Box<[Arc<Hash>]>,
    cache: Cache<Arc<Identity>>,
    workshop: Workshop,
}

/// A user and a password that a client sent.
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// A longer name and password are refused unread.
const LONGEST: usize = 4096;

// === impl Basic ===

impl Basic {
    /// Prepares the users of a file.
    pub fn new(
        config: &config::BasicAuth,
        users: &Users,
        field: &HeaderName,
        permits: impl Fn(&str) -> bool,
    ) -> Self {
        // Names that could not stand in a field were refused with the file.
        let prepared = users.iter().filter_map(|(user, hash)| {
            let identity = Identity::new(field_value(user)?, field, [], permits(user));
            Some((user.into(), (Arc::clone(hash), identity)))
        });
        Self {
            users: prepared.collect(),
            decoys: users.iter().map(|(_, hash)| Arc::clone(hash)).collect(),
            cache: Cache::new(config.cache_size.get() as usize, config.cache_for.get()),
            workshop: Workshop::new(config.verifications, config.max_wait),
        }
    }

    /// Who sent the request.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Arc<Identity>, Denial> {
        let sent = authorization(headers, "Basic")?.ok_or(Denial::NoCredential)?;
        let Credentials { user, password } = Credentials::parse(sent).ok_or(Denial::Malformed)?;
        let parts = KeyedHash::begin().with(user.as_bytes());
        let digest = parts.clone().with(password.as_bytes()).end();
        if let Some(identity) = self.cache.get(&digest) {
            return Ok(identity);
        }
        let place = self.workshop.enter().await?;
        // A browser asks for many things at once: one of them may have been first.
        if let Some(identity) = self.cache.get(&digest) {
            return Ok(identity);
        }
        let known = self.users.get(user.as_str());
        // The name decides which, so that asking again tells nobody that there is no
        // such user.
        let decoy = usize::from(parts.end()[0]) % self.decoys.len().max(1);
        let Some(hash) = known.map(|(hash, _)| hash).or(self.decoys.get(decoy)) else {
            return Err(Denial::Wrong);
        };
        let hash = Arc::clone(hash);
        let right = place.work(move || hash.verify(password.as_bytes())).await?;
        match known {
            Some((_, identity)) if right => {
                self.cache.put(digest, Arc::clone(identity), Duration::MAX);
                Ok(Arc::clone(identity))
            }
            _ => Err(Denial::Wrong),
        }
    }
}

// === impl Credentials ===

impl Credentials {
    /// Reads what follows the scheme: base64 of `user:password` in UTF-8, without
    /// control characters (RFC 7617, section 2).
    pub fn parse(encoded: &[u8]) -> Option<Self> {
        if encoded.len() > LONGEST {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        // The first colon ends the name; a password may have more.
        let (user, password) = text.split_once(':')?;
        let plain = !text.contains(char::is_control);
        plain.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &[u8]) -> Option<(String, String)> {
        let credentials = Credentials::parse(STANDARD.encode(text).as_bytes())?;
        Some((credentials.user, credentials.password))
    }

    #[test]
    fn a_name_ends_at_the_first_colon() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(parse(b"ann:secret"), pair("ann", "secret"));
        assert_eq!(parse(b"ann:a:b:"), pair("ann", "a:b:"));
        assert_eq!(parse("bö b:пароль".as_bytes()), pair("bö b", "пароль"));
        assert_eq!(parse(b":"), pair("", ""));
        for bad in [&b"ann"[..], b"", b"ann:\xff", b"a\0:b", b"ann:b\n", b"ann:\x7f"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
        for bad in [&b"YW5u OnM="[..], b"YW5uOnM", b"YW5uOnN=", b"====", b"\xff", b"YW5uOnM=="] {
            assert!(Credentials::parse(bad).is_none(), "{bad:?}");
        }
        assert!(Credentials::parse(STANDARD.encode(vec![b':'; 4000]).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn every_pair_is_read_as_it_was_sent(user in "[^:\\p{Cc}]{0,20}", password in "\\PC{0,20}") {
            prop_assert_eq!(parse(format!("{user}:{password}").as_bytes()), Some((user, password)));
        }

        #[test]
        fn nothing_makes_it_panic(sent in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Credentials::parse(&sent);
        }
    }
}
