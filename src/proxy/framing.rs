//! Whether a request may pass the door: what its header looks like as bytes, how
//! large it is, and what it says of its body.
//!
//! Pingora's parser takes line ends without CR, up to 1 MiB of header and 256
//! fields, and any method. A backend may read such a header otherwise, or hand it
//! to something that does; so it stops here.

use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::answer::Reason;
use super::connection::{BadFraming, Body, Dialogue};

/// The type of the error that a body past its limit ends with.
pub const BODY_LIMIT: &str = "BodyLimit";

/// Looks at a request that has just been read, and tells its connection. Fields
/// that only look like others are removed.
///
/// # Errors
///
/// Why the request is refused.
pub fn admit(session: &mut Session) -> Result<(), Reason> {
    let (checked, last) = match Dialogue::of(session) {
        Some(dialogue) => (check(session, dialogue), dialogue.count_request()),
        // Only a connection of a test has none.
        None => return Ok(()),
    };
    let Checked { watched, length } = checked?;
    if last || !watched {
        session.set_keepalive(None);
    }
    // The connection has limits of its own, which begin when they should.
    session.set_read_timeout(None);
    let request = session.req_header_mut();
    remove_look_alikes(request);
    length.map_or(Ok(()), |length| collapse_lengths(request, length))
}

/// What is known of a request that may pass.
struct Checked {
    /// Whether the framing of the body is watched.
    watched: bool,
    /// What the request says of the length of its body.
    length: Option<u64>,
}

fn check(session: &Session, dialogue: &Dialogue) -> Result<Checked, Reason> {
    let limits = &dialogue.terms().limits;
    let request = session.req_header();
    let length = length(request);
    let mut watched = true;
    if let Some(http1) = session.as_http1() {
        let raw = http1.get_headers_raw_bytes();
        let body = body(request, length?);
        watched = dialogue.header_read(raw.len(), body).map_err(|BadFraming| Reason::BadRequest)?;
        if raw.len() as u64 > limits.header_size.get() {
            return Err(Reason::HeaderTooLarge);
        }
        if !is_clean(&raw) {
            return Err(Reason::BadRequest);
        }
    }
    if request.headers.len() > limits.header_count.get() as usize {
        return Err(Reason::HeaderTooLarge);
    }
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Reason::MethodNotAllowed);
    }
    let length = length?;
    if length.is_some_and(|length| length > limits.body_size.get()) {
        return Err(Reason::BodyTooLarge);
    }
    Ok(Checked { watched, length })
}

/// Looks at a part of a body that has come.
///
/// # Errors
///
/// The body is larger than it may be (an error of the type [`BODY_LIMIT`]).
pub fn body_passes(session: &Session, end: bool) -> Result<()> {
    let Some(dialogue) = Dialogue::of(session) else { return Ok(()) };
    if session.was_upgraded() {
        return Ok(());
    }
    if session.body_bytes_read() as u64 > dialogue.terms().limits.body_size.get() {
        return Err(Error::explain(
            ErrorType::Custom(BODY_LIMIT),
            "the body is larger than it may be",
        )
        .into_down());
    }
    if end {
        dialogue.body_read();
    }
    Ok(())
}

/// The client's connection goes on as something else than HTTP.
pub fn upgraded(session: &Session) {
    if let Some(dialogue) = Dialogue::of(session) {
        dialogue.tunnel();
    }
}

/// A request has ended, for this reason if it failed.
pub fn ended(session: &mut Session, reason: Option<Reason>) {
    let body_done = session.as_http1().is_none() || session.is_body_done();
    let Some(dialogue) = Dialogue::of(session) else { return };
    if dialogue.is_multiplexed() {
        if reason == Some(Reason::ClientClosed) {
            dialogue.request_abandoned();
        }
        return;
    }
    if body_done {
        dialogue.body_read();
    }
    dialogue.next_request();
}

/// Whether each line of a header ends with CR LF, and no NUL is in it. The parser
/// has seen to it that each CR is followed by LF, so it is enough to count.
fn is_clean(raw: &[u8]) -> bool {
    // In pieces whose counts fit into a byte, since processors then count many bytes
    // at a time.
    let mut feeds = 0;
    for piece in raw.chunks(255) {
        let (mut lf, mut cr, mut nul) = (0u8, 0u8, 0u8);
        for byte in piece {
            lf += u8::from(*byte == b'\n');
            cr += u8::from(*byte == b'\r');
            nul |= u8::from(*byte == 0);
        }
        if nul != 0 {
            return false;
        }
        // A line's CR and LF may be in two pieces.
        feeds += i32::from(lf) - i32::from(cr);
    }
    feeds == 0
}

/// How the body is framed. Pingora has refused what contradicts itself, and has
/// removed a length beside a coding.
fn body(request: &RequestHeader, length: Option<u64>) -> Body {
    let headers = &request.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        Body::Chunked
    } else if length.unwrap_or(0) == 0 {
        Body::None
    } else if headers.contains_key(EXPECT) && request.version == Version::HTTP_11 {
        Body::Expected
    } else {
        Body::Sized
    }
}

/// What the request says of the length of its body. It may say so more than once,
/// in several fields or in one, if it says the same each time (RFC 9112, section
/// 6.3); [`collapse_lengths`] makes one of them.
fn length(request: &RequestHeader) -> Result<Option<u64>, Reason> {
    let mut length = None;
    for field in request.headers.get_all(CONTENT_LENGTH) {
        for text in field.as_bytes().split(|byte| *byte == b',') {
            let text = text.trim_ascii();
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(text).ok().filter(|_| digits);
            let number = text.and_then(|text| text.parse().ok()).ok_or(Reason::BadRequest)?;
            if *length.get_or_insert(number) != number {
                return Err(Reason::BadRequest);
            }
        }
    }
    Ok(length)
}

/// One length is sent on, as a plain number: a backend could go by any of several.
fn collapse_lengths(request: &mut RequestHeader, length: u64) -> Result<(), Reason> {
    let mut fields = request.headers.get_all(CONTENT_LENGTH).iter();
    let plain = |field: &HeaderValue| field.as_bytes().iter().all(u8::is_ascii_digit);
    if fields.next().is_none_or(plain) && fields.next().is_none() {
        return Ok(());
    }
    request.insert_header(CONTENT_LENGTH, length).map_err(|_| Reason::BadRequest)
}

/// Fields whose name a backend that turns `-` into `_`, as CGI does (RFC 3875,
/// section 4.1.18), cannot tell from those that the proxy goes by or sets.
fn remove_look_alikes(request: &mut RequestHeader) {
    while let Some(name) = request.headers.keys().find(|name| is_look_alike(name.as_str())).cloned()
    {
        request.remove_header(&name);
    }
}

fn is_look_alike(name: &str) -> bool {
    const MATTER: [&str; 16] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-real-ip",
        "x-request-id",
    ];
    if !name.contains('_') {
        return false;
    }
    let name = name.replace('_', "-");
    MATTER.contains(&name.as_str())
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_clean_wherever_its_line_ends_fall() {
        for length in 0..600 {
            let clean = [b"GET / HTTP/1.1\r\na: ", &vec![b'x'; length][..], b"\r\n\r\n"].concat();
            assert!(is_clean(&clean), "{length}");
            let bare = [&clean[..], b"\n"].concat();
            assert!(!is_clean(&bare), "{length}");
            let nul = [&clean[..], b"\0"].concat();
            assert!(!is_clean(&nul), "{length}");
        }
        // As many of one as a piece holds, and one more of the other.
        assert!(!is_clean(&[[b'\n'; 255].as_slice(), &[b'\r'; 254]].concat()));
    }
}
