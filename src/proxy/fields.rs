//! The fields of a message, as the one map that they are.
//!
//! Beside it Pingora keeps another, of the names as they were written, and looks each
//! field up, sets and removes it in both; and each time that a field is set, its name is
//! parsed again. The names of fields have no case (RFC 9110, section 5.1), and HTTP/2 has
//! lower case only, so the second map is given up here: names that Pingora writes in
//! HTTP/1 are in lower case, but for a dozen of the standard's (`Host`, `Content-Type`).

use std::mem::replace;

use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, request, response};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

/// A message whose fields can be changed.
pub trait Message {
    /// Changes the fields. From then on the message does not know the case in which the
    /// names were written.
    ///
    /// # Errors
    ///
    /// Those of the change.
    fn change(&mut self, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()>;
}

impl Message for RequestHeader {
    fn change(&mut self, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
        // A target that the URI does not hold whole: the absolute form, or bytes that are
        // no UTF-8.
        let path = self.uri.path_and_query().map(|path| path.as_str().as_bytes());
        let target = (path != Some(self.raw_path())).then(|| self.raw_path().to_vec());
        let nothing = RequestHeader::from(Request::new(()).into_parts().0);
        let mut parts = request::Parts::from(replace(self, nothing));
        let changed = change(&mut parts.headers);
        *self = RequestHeader::from(parts);
        if let Some(target) = target {
            self.set_raw_path(&target)?;
        }
        changed
    }
}

impl Message for ResponseHeader {
    fn change(&mut self, change: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
        let reason = self.get_reason_phrase();
        let reason = (reason != self.status.canonical_reason()).then(|| reason.map(str::to_owned));
        let nothing = ResponseHeader::from(Response::new(()).into_parts().0);
        let mut parts = response::Parts::from(replace(self, nothing));
        let changed = change(&mut parts.headers);
        *self = ResponseHeader::from(parts);
        if let Some(reason) = reason {
            self.set_reason_phrase(reason.as_deref())?;
        }
        changed
    }
}

/// Gives up the case of a request's names before Pingora copies them for the backend.
pub fn forget_case(request: &mut RequestHeader) {
    if request.has_case() {
        // A change that does nothing does not fail, nor does a target that was one before.
        let _ = request.change(|_| Ok(()));
    }
}

/// Sets a field, replacing all of the name.
///
/// # Errors
///
/// There are too many fields.
pub fn set(fields: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<()> {
    fields.try_insert(name, value).map(drop).map_err(too_many)
}

/// Adds a field to those of the name.
///
/// # Errors
///
/// There are too many fields.
pub fn add(fields: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<()> {
    fields.try_append(name, value).map(drop).map_err(too_many)
}

fn too_many(error: MaxSizeReached) -> Box<Error> {
    Error::because(ErrorType::InvalidHTTPHeader, "too many fields", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_one(fields: &mut HeaderMap) -> Result<()> {
        set(fields, HeaderName::from_static("x-set"), HeaderValue::from_static("1"))
    }

    #[test]
    fn a_request_keeps_all_but_the_case_of_its_names() {
        for target in [&b"/a?q"[..], b"*", b"/", b"/\xff?\xfe", b"http://x:1/a?q", b"/a?", b"?q"] {
            let mut request = RequestHeader::build("PUT", target, None).unwrap();
            request.append_header("X-Own", "a").unwrap();
            request.append_header("x-OWN", "b").unwrap();
            request.set_version(http::Version::HTTP_10);
            request.extensions_mut().insert(7u8);
            let uri = request.uri.clone();
            request.change(set_one).unwrap();
            assert_eq!(request.raw_path(), target);
            assert_eq!((&request.uri, request.method.as_str()), (&uri, "PUT"));
            assert_eq!(request.version, http::Version::HTTP_10);
            assert_eq!(request.extensions.get(), Some(&7u8));
            let mut wire = Vec::new();
            request.header_to_h1_wire(&mut wire);
            assert_eq!(wire, b"x-own: a\r\nx-own: b\r\nx-set: 1\r\n");
        }
    }

    #[test]
    fn an_answer_keeps_all_but_the_case_of_its_names() {
        for reason in [None, Some("Not Found"), Some("Gone Fishing"), Some("")] {
            let mut answer = ResponseHeader::build(404, None).unwrap();
            answer.set_reason_phrase(reason).unwrap();
            answer.append_header("X-Own", "a").unwrap();
            let before = answer.get_reason_phrase().map(str::to_owned);
            answer.change(set_one).unwrap();
            assert_eq!(answer.status, 404);
            assert_eq!(answer.get_reason_phrase(), before.as_deref());
            let mut wire = Vec::new();
            answer.header_to_h1_wire(&mut wire);
            assert_eq!(wire, b"x-own: a\r\nx-set: 1\r\n");
        }
    }

    #[test]
    fn a_change_that_fails_is_an_error_and_leaves_the_message() {
        let mut request = RequestHeader::build("GET", b"/a", None).unwrap();
        request.append_header("x-own", "a").unwrap();
        let changed = request.change(|fields| {
            set_one(fields)?;
            Error::e_explain(ErrorType::InternalError, "no")
        });
        assert!(changed.is_err());
        assert_eq!((request.raw_path(), request.headers.len()), (&b"/a"[..], 2));
    }
}
