//! Whether a request may pass the door: what its header looks like as bytes, how
//! large it is, and what it says of its body.
//!
//! Pingora's parser takes line ends without CR, up to 1 MiB of header and 256
//! fields, and any method. A backend may read such a header otherwise, or hand it
//! to something that does; so it stops here.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::answer::Reason;
use super::census::Census;
use super::connection::{BadFraming, Body, Dialogue};
use super::look_alike::remove_where;

/// The type of the error that a body past its limit ends with.
pub const BODY_LIMIT: &str = "BodyLimit";

/// Looks at a request that has just been read, with these fields, and tells its connection. Fields
/// that only look like others are removed. Returns what the request says of the
/// length of its body.
///
/// # Errors
///
/// Why the request is refused.
pub fn admit(session: &mut Session, census: Census) -> Result<Option<u64>, Reason> {
    let length = if census.content_length { length(session.req_header()) } else { Ok(None) };
    let (checked, last, patience) = match Dialogue::of(session) {
        Some(dialogue) => (
            check(session, dialogue, census, length),
            dialogue.count_request(),
            dialogue.terms().limits.write_timeout,
        ),
        // Only a connection of a test has none.
        None => return length,
    };
    let watched = checked?;
    if session.as_http1().is_none() {
        // Its answers share one connection, so a client that takes nothing of one
        // of them does not show there.
        session.set_write_timeout(Some(patience.get()));
    } else if last || !watched {
        session.set_keepalive(None);
    } else if session.get_keepalive().is_some() {
        // The connection knows how long it may be idle.
        session.set_keepalive(Some(0));
    }
    // The connection has limits of its own, which begin when they should.
    session.set_read_timeout(None);
    // A 100 (Continue) comes before the body and ends nothing; [`answered`] sees to
    // the other answers that do.
    session.set_close_on_response_before_downstream_finish(false);
    let request = session.req_header_mut();
    if census.look_alike {
        remove_look_alikes(request);
    }
    if let Ok(Some(length)) = length {
        collapse_lengths(request, length)?;
    }
    length
}

/// Whether the framing of the body is watched, if the request may pass.
fn check(
    session: &Session,
    dialogue: &Dialogue,
    census: Census,
    length: Result<Option<u64>, Reason>,
) -> Result<bool, Reason> {
    let limits = &dialogue.terms().limits;
    let request = session.req_header();
    let mut watched = true;
    if let Some(http1) = session.as_http1() {
        let raw = http1.get_headers_raw_bytes();
        let body = length.and_then(|length| body(request, &raw, census, length));
        // Whatever is wrong with it, its header has ended.
        let read = dialogue.header_read(raw.len(), body.unwrap_or(Body::None));
        if raw.len() as u64 > limits.header_size.get() {
            return Err(Reason::HeaderTooLarge);
        }
        if body.is_err() || !is_clean(&raw) {
            return Err(Reason::BadRequest);
        }
        watched = read.map_err(|BadFraming| Reason::BadRequest)?;
    }
    if request.headers.len() > limits.header_count.get() as usize {
        return Err(Reason::HeaderTooLarge);
    }
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Reason::MethodNotAllowed);
    }
    Ok(watched)
}

/// Looks at a part of a body that has come, of which there may be no more than
/// `limit` bytes.
///
/// # Errors
///
/// The body is larger than it may be (an error of the type [`BODY_LIMIT`]).
pub fn body_passes(session: &Session, end: bool, limit: u64) -> Result<()> {
    if session.was_upgraded() {
        return Ok(());
    }
    if session.body_bytes_read() as u64 > limit {
        return Err(Error::explain(
            ErrorType::Custom(BODY_LIMIT),
            "the body is larger than it may be",
        )
        .into_down());
    }
    if end && let Some(dialogue) = Dialogue::of(session) {
        dialogue.body_read();
    }
    Ok(())
}

/// The answer begins, and no interim one. Where it comes before the body has, what
/// follows on the connection may be either, so nothing may follow.
pub fn answered(session: &mut Session) {
    if !session.is_body_done() {
        session.set_keepalive(None);
        if let Some(dialogue) = Dialogue::of(session) {
            dialogue.answer_begins();
        }
    }
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

/// How the body is framed (RFC 9112, section 6.3).
fn body(
    request: &RequestHeader,
    raw: &[u8],
    census: Census,
    length: Option<u64>,
) -> Result<Body, Reason> {
    Ok(if census.transfer_encoding {
        if !is_plainly_chunked(request, raw) {
            return Err(Reason::BadRequest);
        }
        Body::Chunked
    } else if length.unwrap_or(0) == 0 {
        Body::None
    } else if census.expect && request.version == Version::HTTP_11 {
        Body::Expected
    } else {
        Body::Sized
    })
}

/// Whether the body comes in chunks and nothing says otherwise to anybody: one
/// field says `chunked` alone, without a tab, which some servers take for a part of
/// the name, and no length stands beside it. Pingora has removed that length, so it
/// is looked for in the header as it came.
fn is_plainly_chunked(request: &RequestHeader, raw: &[u8]) -> bool {
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next().filter(|_| codings.next().is_none());
    coding.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && raw.split(|byte| *byte == b'\n').all(|line| {
            let end = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(end);
            !(name.eq_ignore_ascii_case(b"content-length")
                || name.eq_ignore_ascii_case(b"transfer-encoding") && value.contains(&b'\t'))
        })
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

/// Fields that a backend may take for others: those whose name one that turns `-`
/// into `_`, as CGI does (RFC 3875, section 4.1.18), cannot tell from those that the
/// proxy goes by or sets, and `Proxy`, which becomes `HTTP_PROXY` there, the name of
/// the proxy that a program is to use (CVE-2016-5385).
fn remove_look_alikes(request: &mut RequestHeader) {
    remove_where(request, |name| is_look_alike(name.as_str()));
}

fn is_look_alike(name: &str) -> bool {
    const MATTER: [&str; 17] = [
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
        "proxy",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-real-ip",
        "x-request-id",
    ];
    if !name.contains('_') {
        return name == "proxy";
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
