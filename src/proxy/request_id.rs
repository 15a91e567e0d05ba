//! The id by which the logs of client, proxy and backend find each other.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::census::Census;

/// The field that carries it.
pub const FIELD: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST: usize = 128;

/// The client's id if it sent one, and only one, that is safe to log and pass
/// on; else a new random UUID.
pub fn of(headers: &http::HeaderMap, census: Census) -> HeaderValue {
    if !census.request_id {
        return new();
    }
    let mut sent = headers.get_all(FIELD).iter();
    match (sent.next(), sent.next()) {
        (Some(id), None) if is_valid(id.as_bytes()) => id.clone(),
        _ => new(),
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.iter().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=')
        })
}

fn new() -> HeaderValue {
    let mut buffer = [0; Hyphenated::LENGTH];
    Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    // Shared from the start: it goes into the request, and on into the log.
    HeaderValue::from_maybe_shared(Bytes::from_owner(buffer)).expect("a UUID is ASCII")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_valid_id_is_kept_and_any_other_replaced() {
        let with = |ids: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for id in ids {
                headers.append(FIELD, HeaderValue::from_static(id));
            }
            of(&headers, Census::of(&headers))
        };
        assert_eq!(with(&["abc-123"]), "abc-123");
        let long = "a".repeat(129);
        assert!(!is_valid(long.as_bytes()));
        for bad in [&[][..], &[""], &["a b"], &["a\"b"], &["one", "two"]] {
            let id = with(bad);
            assert!(Uuid::parse_str(id.to_str().unwrap()).is_ok(), "{bad:?} gave {id:?}");
        }
        assert_ne!(with(&[]), with(&[]));
    }
}
