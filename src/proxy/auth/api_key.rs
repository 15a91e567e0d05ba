//! Keys of programs.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use pingora::http::RequestHeader;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::cache::{Digest, KeyedHash};
use super::credential::{only, parameter};
use super::denial::Denial;
use super::htpasswd::BadLine;
use super::identity::{Identity, field_value};
use crate::config;

/// The keys and who has them. A key itself is not held.
pub struct ApiKeys {
    header: HeaderName,
    query: Option<Box<str>>,
    /// By the keyed hash of the key's hash, so that how long a look-up takes says
    /// nothing of the keys; with the key's hash itself, which is compared in constant
    /// time.
    keys: HashMap<Digest, (Digest, Arc<Identity>)>,
}

/// The keys of a file, hashed, each with the name of who has it.
#[derive(Debug)]
pub struct HashedKeys(Vec<(Box<str>, Digest)>);

/// A longer key is refused unread.
const LONGEST: usize = 1024;

// === impl ApiKeys ===

impl ApiKeys {
    /// Prepares the keys that are written down and those of the file.
    ///
    /// # Errors
    ///
    /// Two have the same key, or a name could be read as another.
    pub fn new(
        config: &config::ApiKeyAuth,
        file: Option<&HashedKeys>,
        field: &HeaderName,
        permits: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let written = config.keys.iter();
        let written = written.map(|(name, key)| (name.as_str(), hash(key.reveal().as_bytes())));
        let filed = file.into_iter().flat_map(|file| &file.0);
        let filed = filed.map(|(name, digest)| (&**name, *digest));
        let mut keys = HashMap::new();
        for (name, digest) in written.chain(filed) {
            let user = field_value(name).ok_or_else(|| {
                format!(
                    "the name {name:?} is empty, or has spaces at its ends or control characters: \
                     use another"
                )
            })?;
            let identity = Identity::new(user, field, [], permits(name));
            if let Some((_, other)) = keys.insert(keyed(&digest), (digest, identity)) {
                let other = other.name();
                return Err(format!(
                    "\"{name}\" and \"{other}\" have the same key: give each a key of its own"
                ));
            }
        }
        Ok(Self {
            header: config.header.0.clone(),
            query: config.query.as_deref().map(Box::from),
            keys,
        })
    }

    /// Who sent the request.
    ///
    /// # Errors
    ///
    /// Why it is not known.
    pub fn identify(&self, request: &RequestHeader) -> Result<Arc<Identity>, Denial> {
        let from_query = match (&self.query, request.uri.query()) {
            (Some(name), Some(query)) => parameter(query, name)?,
            _ => None,
        };
        match (only(&request.headers, &self.header)?, from_query) {
            (Some(_), Some(_)) => Err(Denial::Several),
            (Some(key), None) => self.find(key),
            (None, Some(key)) => self.find(key.as_bytes()),
            (None, None) => Err(Denial::NoCredential),
        }
    }

    fn find(&self, key: &[u8]) -> Result<Arc<Identity>, Denial> {
        if key.is_empty() || key.len() > LONGEST {
            return Err(Denial::Malformed);
        }
        let digest = hash(key);
        let (known, identity) = self.keys.get(&keyed(&digest)).ok_or(Denial::Wrong)?;
        if bool::from(known.ct_eq(&digest)) { Ok(Arc::clone(identity)) } else { Err(Denial::Wrong) }
    }

    /// The field that a key stands in.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The parameter that a key may stand in.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

fn hash(key: &[u8]) -> Digest {
    Sha256::digest(key).into()
}

fn keyed(digest: &Digest) -> Digest {
    KeyedHash::begin().with(digest).end()
}

// === impl HashedKeys ===

impl HashedKeys {
    /// Reads a file: `name:` and the SHA-256 of the key in hexadecimal in each line.
    /// Blank lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    ///
    /// The first line that cannot be used, or that there is no key at all.
    pub fn parse(file: &[u8]) -> Result<Self, BadLine> {
        let mut keys = Vec::new();
        for (index, line) in file.split(|b| *b == b'\n').enumerate() {
            let bad = |message: &str| BadLine { line: index + 1, message: message.to_owned() };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() || line.starts_with(b"#") {
                continue;
            }
            let line = std::str::from_utf8(line)
                .map_err(|_| bad("the line is not UTF-8: save the file as UTF-8"))?;
            // The hash comes last, so a name may have colons.
            let (name, digest) = line
                .rsplit_once(':')
                .ok_or_else(|| bad("the line is not name:hash: write it so"))?;
            if field_value(name).is_none() {
                return Err(bad(
                    "the name is empty, or has spaces at its ends or control characters: use \
                     another",
                ));
            }
            let digest = hexadecimal(digest).ok_or_else(|| {
                bad("what follows the name is no SHA-256 in hexadecimal: make it with \
                     `printf %s KEY | sha256sum`")
            })?;
            keys.push((name.into(), digest));
        }
        if keys.is_empty() {
            return Err(BadLine {
                line: 0,
                message: "there is no key in it: add name:hash, with the hash that \
                          `printf %s KEY | sha256sum` prints"
                    .to_owned(),
            });
        }
        Ok(Self(keys))
    }
}

fn hexadecimal(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    // Digits alone: the standard library's parser takes a sign too.
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn keys(file: &str, text: &str) -> Result<ApiKeys, String> {
        let config: config::ApiKeyAuth = toml::from_str(text).unwrap();
        let file = HashedKeys::parse(file.as_bytes()).map_err(|bad| bad.message)?;
        ApiKeys::new(&config, Some(&file), &HeaderName::from_static("x-user"), |_| true)
    }

    fn request(target: &str, keys: &[&str]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for key in keys {
            request.append_header("x-api-key", *key).unwrap();
        }
        request
    }

    #[test]
    fn a_key_says_who_has_it_and_no_other_does() {
        let keys = keys(
            &format!("# partners\nabc: inc:{}\n", ABC.to_uppercase()),
            "query = 'key'\nkeys = { build = '0123456789abcdef' }",
        );
        let keys = keys.unwrap();
        let who = |target: &str, sent: &[&str]| {
            keys.identify(&request(target, sent)).map(|identity| identity.name().to_owned())
        };
        assert_eq!(who("/", &["abc"]), Ok("abc: inc".to_owned()));
        assert_eq!(who("/", &["0123456789abcdef"]), Ok("build".to_owned()));
        assert_eq!(who("/?key=abc&x", &[]), Ok("abc: inc".to_owned()));
        for (target, sent, denial) in [
            ("/", &[][..], Denial::NoCredential),
            ("/?keys=abc", &[], Denial::NoCredential),
            ("/", &["abcd"], Denial::Wrong),
            ("/", &[ABC], Denial::Wrong),
            ("/", &[""], Denial::Malformed),
            ("/", &["abc", "abc"], Denial::Several),
            ("/?key=abc", &["abc"], Denial::Several),
            ("/?key=abc&key=abc", &[], Denial::Several),
        ] {
            assert_eq!(who(target, sent), Err(denial), "{target} {sent:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_line() {
        for (line, said) in [
            ("abc", "not name:hash"),
            (":00", "the name is empty"),
            ("abc:00", "no SHA-256"),
            (&format!("abc:+{}", &ABC[1..]), "no SHA-256"),
            (&format!("abc:{}é", &ABC[2..]), "no SHA-256"),
        ] {
            let bad = HashedKeys::parse(format!("\n{line}\n").as_bytes()).unwrap_err();
            assert!(bad.line == 2 && bad.message.contains(said), "{line}: {bad:?}");
        }
        assert_eq!(HashedKeys::parse(b"#\n").unwrap_err().line, 0);
        let twice = keys(&format!("a:{ABC}\nb:{ABC}\n"), "").err().unwrap();
        assert!(twice.contains("the same key"), "{twice}");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(file in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = HashedKeys::parse(&file);
        }
    }
}
