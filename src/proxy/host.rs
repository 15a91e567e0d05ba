//! The client's `Host`, and whether it is one (RFC 9110, section 7.2; RFC 9112,
//! section 3.2).

use http::header::HOST;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;

/// The longest host name that is looked up; DNS allows no longer one.
const LONGEST: usize = 255;

/// Whether a byte may stand in a host's name; a look-up costs less than the ranges.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        byte += 1;
    }
    table
};

/// The authority that a request is for, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    value: HeaderValue,
    /// How long the name is that it begins with.
    name: usize,
}

/// A request without one valid host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHost;

/// The authority that a request is for. HTTP/2 carries it as `:authority`, HTTP/1 as
/// `Host`.
///
/// # Errors
///
/// There is none, there are several, or it is no `host[:port]`.
pub fn of(request: &RequestHeader) -> Result<Option<Host>, InvalidHost> {
    if let Some(authority) = request.uri.authority() {
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidHost)?;
        return Host::new(value).map(Some);
    }
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Host::new(host.clone()).map(Some),
        // HTTP/1.0 knows no Host.
        (None, None) if request.version == Version::HTTP_10 => Ok(None),
        _ => Err(InvalidHost),
    }
}

// === impl Host ===

impl Host {
    /// Reads an authority.
    ///
    /// # Errors
    ///
    /// It is no `host[:port]`.
    pub fn new(value: HeaderValue) -> Result<Self, InvalidHost> {
        let name = split(value.as_bytes()).ok_or(InvalidHost)?.0.len();
        Ok(Self { value, name })
    }

    /// The name as it was written, without its port.
    pub fn name(&self) -> &str {
        // It is ASCII, as `split` has seen.
        std::str::from_utf8(&self.value.as_bytes()[..self.name]).unwrap_or_default()
    }

    /// Its port, if it has one.
    pub fn port(&self) -> Option<u16> {
        let port = self.value.as_bytes().get(self.name + 1..)?;
        std::str::from_utf8(port).ok()?.parse().ok()
    }

    /// Calls `look_up` with the name in lower case.
    pub fn look_up<T>(&self, look_up: impl FnOnce(&[u8]) -> T) -> T {
        let name = &self.value.as_bytes()[..self.name];
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut buffer = [0; LONGEST];
        // It is no longer than that, as `split` has seen.
        let lower = &mut buffer[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        look_up(lower)
    }
}

/// Host and port of an authority, if it is one: no user info, no spaces, a port
/// that is a number or empty.
fn split(authority: &[u8]) -> Option<(&[u8], &[u8])> {
    let (host, port) = if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|b| *b == b']')?;
        let inner = std::str::from_utf8(&authority[1..end]).ok()?;
        inner.parse::<std::net::Ipv6Addr>().ok()?;
        let (host, rest) = authority.split_at(end + 1);
        match rest {
            [] => (host, rest),
            [b':', port @ ..] => (host, port),
            _ => return None,
        }
    } else {
        match authority.iter().position(|b| *b == b':') {
            Some(colon) => (&authority[..colon], &authority[colon + 1..]),
            None => (authority, &[][..]),
        }
    };
    let bracketed = host.first() == Some(&b'[');
    let valid = |b: &u8| IN_NAME[usize::from(*b)];
    let host_valid = !host.is_empty() && (bracketed || host.iter().all(valid));
    let port_valid = port.is_empty()
        || port.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok());
    (host_valid && host.len() <= LONGEST && port_valid).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str) -> Result<Host, InvalidHost> {
        Host::new(HeaderValue::from_bytes(host.as_bytes()).unwrap())
    }

    fn found(text: &str) -> Option<String> {
        let host = host(text).ok()?;
        Some(host.look_up(|name| String::from_utf8(name.to_vec()).unwrap()))
    }

    #[test]
    fn a_name_is_told_from_its_port() {
        for (text, name, port) in [
            ("a.test", "a.test", None),
            ("A.test.:80", "A.test.", Some(80)),
            ("a:", "a", None),
            ("[::1]", "[::1]", None),
            ("[::1]:65535", "[::1]", Some(65535)),
        ] {
            let host = host(text).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{text}");
        }
    }

    #[test]
    fn a_host_is_looked_up_without_port_and_case() {
        assert_eq!(found("Example.COM:8080").unwrap(), "example.com");
        assert_eq!(found("example.com.").unwrap(), "example.com");
        assert_eq!(found("[::1]:6188").unwrap(), "[::1]");
        assert_eq!(found("127.0.0.1").unwrap(), "127.0.0.1");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in [
            "",
            ":80",
            "a b",
            "user@a",
            "a/b",
            "a:b",
            "a:65536",
            "a:123456",
            "[::1",
            "[nonsense]",
            "[::1]x",
            "a:80:80",
            "a\"b",
            "exämple",
        ] {
            assert_eq!(found(host), None, "{host}");
        }
        assert_eq!(found(&"a".repeat(256)), None);
    }

    #[test]
    fn exactly_one_host_is_needed_from_http_1_1_on() {
        let request = |hosts: &[&'static str], version| {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.set_version(version);
            for host in hosts {
                request.append_header("Host", *host).unwrap();
            }
            of(&request)
        };
        assert_eq!(request(&["a"], Version::HTTP_11), Ok(Some(host("a").unwrap())));
        assert_eq!(request(&[], Version::HTTP_11), Err(InvalidHost));
        assert_eq!(request(&["a", "a"], Version::HTTP_11), Err(InvalidHost));
        assert_eq!(request(&["a b"], Version::HTTP_11), Err(InvalidHost));
        assert_eq!(request(&[], Version::HTTP_10), Ok(None));
    }
}
