//! What must hold of whatever bytes: a function for each target. The corpus goes
//! through them in `cargo test`, any bytes at all in `tests/fuzz/run`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pingora_lab::config::{Config, HeaderTemplate, Part};
use pingora_lab::proxy::auth::htpasswd::Users;
use pingora_lab::proxy::auth::jwt::Jwt;
use pingora_lab::proxy::auth::keys::Keys;
use pingora_lab::proxy::connection::chunks::Chunks;
use pingora_lab::proxy::forwarded::TrustedProxies;
use pingora_lab::proxy::host::Host;
use pingora_lab::proxy::{Metrics, Snapshot, path as paths};

/// A configuration is read or refused in one line that names its place; what is read
/// can be written down and means the same; what is valid can be gone by.
pub fn configuration(bytes: &[u8]) {
    let name = Path::new("lab.toml");
    let (mut config, source) = match Config::parse(name, bytes) {
        Ok(read) => read,
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("lab.toml:"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
            return;
        }
    };
    let written = config.to_toml().expect("it can be written down");
    let (again, _) = Config::parse(name, written.as_bytes())
        .unwrap_or_else(|error| panic!("{error}, of what was written down:\n{written}"));
    assert_eq!(again.to_toml().expect("again"), written);
    // A table has no order, the default rules have.
    config.headers.request.set.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    config.headers.response.set.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    if !written.contains("***") {
        assert_eq!(again, config, "{written}");
    }
    match config.validate() {
        Ok(()) => drop(Snapshot::prepare(&config, None, &Metrics::on())),
        Err(misfit) => {
            let line = source.locate(&misfit).to_string();
            assert!(line.starts_with("lab.toml"), "{line}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
}

/// A path has one form, which is its own, or none.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(normal) = paths::normalise(text) else { return };
    assert_eq!(paths::normalise(&normal).as_deref(), Ok(&*normal), "{text:?}");
    assert!(normal.starts_with('/'), "{text:?} became {normal:?}");
    assert!(!normal.contains("//"), "{text:?} became {normal:?}");
    // However a backend divides segments and decodes them, none is a dot segment.
    let mut seen = decoded(normal.as_bytes());
    for byte in &mut seen {
        if *byte == b'\\' {
            *byte = b'/';
        }
    }
    for segment in seen.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(name != b"." && name != b"..", "{text:?} became {normal:?}");
    }
    assert!(!seen.contains(&0), "{text:?} became {normal:?}");
}

/// With every percent-encoding decoded, once.
fn decoded(mut bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    while let [first, rest @ ..] = bytes {
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                bytes = &rest[2..];
            }
            _ => {
                decoded.push(*first);
                bytes = rest;
            }
        }
    }
    decoded
}

/// A host is looked up in lower case, without port and final dot, and is made of
/// nothing but what hosts are made of.
pub fn host(bytes: &[u8]) {
    let Ok(value) = http::HeaderValue::from_bytes(bytes) else { return };
    let Ok(host) = Host::new(value) else { return };
    let name = &host.look_up(<[u8]>::to_vec)[..];
    let written = host.name();
    assert!(bytes.starts_with(written.as_bytes()), "{written:?} of {bytes:?}");
    let lower = written.to_ascii_lowercase();
    assert_eq!(lower.strip_suffix('.').unwrap_or(&lower).as_bytes(), name);
    let inner = name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]"));
    match inner {
        Some(inner) => {
            let text = std::str::from_utf8(inner).expect("it was parsed");
            assert!(text.parse::<std::net::Ipv6Addr>().is_ok(), "{text}");
        }
        None => {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b".-_".contains(b);
            assert!(name.iter().all(plain), "{name:?}");
        }
    }
}

/// Chunks end where a plain reading of RFC 9112, section 7.1, ends them, however the
/// bytes come; and what is refused is refused at the same byte. The first byte of the
/// input says how they come.
pub fn chunks(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let whole = Chunks::default().feed(bytes).is_ok();
    let mut pieces = Chunks::default();
    let size = usize::from(*first).max(1);
    assert_eq!(bytes.chunks(size).all(|piece| pieces.feed(piece).is_ok()), whole, "by {size}");
    if whole && let Some(refused) = plainly_wrong(bytes) {
        panic!("{refused}: {:?}", String::from_utf8_lossy(bytes));
    }
}

/// What is wrong with chunks that are whole, read line by line. The end may be
/// missing.
fn plainly_wrong(mut bytes: &[u8]) -> Option<&'static str> {
    loop {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let Some(line) = bytes[..end].strip_suffix(b"\r") else {
            return Some("a line without CR");
        };
        bytes = &bytes[end + 1..];
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size).ok()?.trim_end_matches([' ', '\t']);
        if line.contains(&0) || line.contains(&b'\r') {
            return Some("a control byte in a line");
        }
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some("a size that is none");
        }
        let Ok(size) = usize::from_str_radix(size, 16) else { return Some("a size too large") };
        if size == 0 {
            // The trailers, up to an empty line.
            loop {
                let end = bytes.iter().position(|byte| *byte == b'\n')?;
                let Some(line) = bytes[..end].strip_suffix(b"\r") else {
                    return Some("a trailer without CR");
                };
                bytes = &bytes[end + 1..];
                if line.is_empty() {
                    return None;
                }
                if line.contains(&0) || line.contains(&b'\r') {
                    return Some("a control byte in a trailer");
                }
            }
        }
        let after = bytes.get(size..)?;
        if !b"\r\n".starts_with(&after[..after.len().min(2)]) {
            return Some("data that does not end with its chunk");
        }
        bytes = after.get(2..)?;
    }
}

/// A template is read or refused; what is read is written down as itself, and its
/// text can stand in a field.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = HeaderTemplate::parse(text) else { return };
    let written = template.to_string();
    assert_eq!(HeaderTemplate::parse(&written).as_ref(), Ok(&template), "{text:?}: {written:?}");
    for part in template.parts() {
        if let Part::Literal(value) = part {
            assert!(!value.is_empty() || text.is_empty());
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }
}

/// Whatever `x-forwarded-for` says, the client is one whom a trusted peer names, or
/// the peer.
pub fn forwarded(bytes: &[u8]) {
    let trusted = TrustedProxies::new(["127.0.0.0/8".parse().expect("a network")]);
    let mut fields = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append("x-forwarded-for", value);
        }
    }
    let peer: IpAddr = [127, 0, 0, 1].into();
    let client = trusted.client(Some(peer), &fields).expect("the peer at the least");
    let named = |field: &HeaderValue| {
        let text = String::from_utf8_lossy(field.as_bytes()).into_owned();
        let hop = |hop: &str| hop.trim().parse() == Ok(client);
        text.split(',').any(hop) || text.contains([':', '['])
    };
    assert!(client == peer || fields.values().any(named), "{client} of {fields:?}");
}

/// A file of users is read, or refused with a line that it has.
pub fn htpasswd(bytes: &[u8]) {
    match Users::parse(bytes) {
        Ok(users) => {
            let text = String::from_utf8_lossy(bytes);
            assert!(users.iter().count() > 0);
            assert!(users.iter().all(|(user, _)| text.contains(&format!("{user}:"))));
        }
        Err(bad) => {
            assert!(bad.line <= bytes.split(|byte| *byte == b'\n').count(), "{bad:?}");
            assert!(!bad.message.contains(char::is_control), "{bad:?}");
        }
    }
}

/// Keys are read or left out, for whatever algorithms.
pub fn jwks(bytes: &[u8]) {
    for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        if let Ok((keys, _)) = Keys::from_jwks(bytes, &[algorithm]) {
            assert!(keys.fitting(algorithm, None).next().is_some());
            // Nothing else is ever verified with them.
            assert!(keys.fitting(Algorithm::HS512, None).next().is_none());
        }
        let _ = Keys::from_pem(bytes, &[algorithm]);
    }
}

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// No token is right that was not signed with the secret, which is in no corpus; and
/// whatever claims are signed, one that is right has an end, which has not come.
pub fn token(bytes: &[u8]) {
    static POLICY: LazyLock<Jwt> = LazyLock::new(|| {
        let written = "[jwt]\nalgorithms = ['HS256']\n";
        let auth: pingora_lab::config::Auth = toml::from_str(written).expect("a policy");
        let keys = Keys::from_secret(SECRET, false, &[Algorithm::HS256]).expect("a key");
        Jwt::new(auth.jwt.as_ref().expect("tokens"), &auth, keys)
    });
    assert!(POLICY.verify(bytes).is_err(), "it was never signed");
    let Ok(claims) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let Ok(token) = jsonwebtoken::encode(&Header::default(), &claims, &key) else { return };
    if POLICY.verify(token.as_bytes()).is_ok() {
        let end = claims["exp"].as_f64().expect("an end");
        // With a minute's leeway.
        assert!(end + 61.0 > jsonwebtoken::get_current_timestamp() as f64, "{claims}");
    }
}
