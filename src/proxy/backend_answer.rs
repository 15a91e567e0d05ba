//! What a backend's answer must be before it is passed on.
//!
//! Pingora removes the fields that concern one connection only from requests, and
//! not from answers; and it passes on several fields of `Content-Length` as they
//! came, which two clients could read in two ways.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use super::list::members;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Fields that describe the answer itself: a `Connection` that names one is not
/// obeyed.
const OWN: [HeaderName; 4] =
    [CONTENT_LENGTH, TRANSFER_ENCODING, http::header::CONTENT_ENCODING, http::header::CONTENT_TYPE];

/// Removes what concerns the backend's connection only (RFC 9110, section 7.6.1),
/// and makes one of several equal lengths (RFC 9110, section 8.6).
///
/// # Errors
///
/// There are several lengths that differ, or one that is none.
pub fn tidy(answer: &mut ResponseHeader) -> Result<()> {
    let seen = Seen::of(answer);
    if answer.status != StatusCode::SWITCHING_PROTOCOLS {
        if seen.connection {
            remove_nominated(answer);
            answer.remove_header(&CONNECTION);
        }
        if seen.other_hop {
            for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &UPGRADE] {
                answer.remove_header(name);
            }
        }
    }
    if seen.length { one_length(answer) } else { Ok(()) }
}

/// What is there, seen in one pass: to look for each field costs more.
struct Seen {
    connection: bool,
    other_hop: bool,
    length: bool,
}

impl Seen {
    fn of(answer: &ResponseHeader) -> Self {
        let mut seen = Self { connection: false, other_hop: false, length: false };
        for name in answer.headers.keys() {
            seen.connection |= *name == CONNECTION;
            seen.other_hop |= *name == KEEP_ALIVE || *name == PROXY_CONNECTION || *name == UPGRADE;
            seen.length |= *name == CONTENT_LENGTH;
        }
        seen
    }
}

fn remove_nominated(answer: &mut ResponseHeader) {
    let nominated: Vec<HeaderName> = members(&answer.headers, &CONNECTION)
        // An option that nearly every answer has, and a field that is removed anyway.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !OWN.contains(name))
        .collect();
    for name in &nominated {
        answer.remove_header(name);
    }
}

fn one_length(answer: &mut ResponseHeader) -> Result<()> {
    let mut fields = answer.headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = fields.next() else { return Ok(()) };
    if answer.headers.contains_key(TRANSFER_ENCODING) {
        // The chunks say where the answer ends (RFC 9112, section 6.3).
        answer.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    let plain = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if fields.next().is_none() && plain(first.as_bytes()) {
        return Ok(());
    }
    let one = {
        let mut lengths = members(&answer.headers, &CONTENT_LENGTH);
        let one = lengths.next().filter(|length| plain(length) && lengths.all(|l| l == *length));
        one.and_then(|length| HeaderValue::from_bytes(length).ok())
    };
    let Some(one) = one else {
        return Err(Error::explain(
            ErrorType::InvalidHTTPHeader,
            "lengths that differ or are no numbers",
        )
        .into_up());
    };
    answer.insert_header(CONTENT_LENGTH, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidied(fields: &[(&'static str, &'static str)]) -> Option<Vec<(String, String)>> {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in fields {
            answer.append_header(*name, *value).unwrap();
        }
        tidy(&mut answer).ok()?;
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        Some(answer.headers.iter().map(field).collect())
    }

    fn length(value: &str) -> Option<Vec<(String, String)>> {
        Some(vec![("content-length".to_owned(), value.to_owned())])
    }

    #[test]
    fn what_concerns_the_connection_is_removed() {
        let kept = tidied(&[
            ("Connection", "keep-alive, X-Own"),
            ("Connection", "content-length"),
            ("Keep-Alive", "timeout=5"),
            ("X-Own", "1"),
            ("Content-Length", "5"),
        ]);
        assert_eq!(kept, length("5"));
    }

    #[test]
    fn a_field_of_the_connection_is_removed_even_if_it_is_not_named() {
        for name in ["Connection", "Keep-Alive", "Proxy-Connection", "Upgrade"] {
            assert_eq!(tidied(&[(name, "keep-alive"), ("Content-Length", "5")]), length("5"));
        }
        let kept = tidied(&[("Connection", "Keep-Alive, x-own"), ("X-Own", "1"), ("Close", "1")]);
        assert_eq!(kept, Some(vec![("close".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn lengths_are_one_or_the_answer_is_none() {
        assert_eq!(tidied(&[("Content-Length", "5"), ("Content-Length", "5")]), length("5"));
        assert_eq!(tidied(&[("Content-Length", "5, 5")]), length("5"));
        for wrong in ["5, 6", "", "+5", "5,", "0x5", "-1"] {
            assert_eq!(tidied(&[("Content-Length", wrong)]), None, "{wrong}");
        }
        assert_eq!(tidied(&[("Content-Length", "5"), ("Content-Length", "6")]), None);
    }
}
