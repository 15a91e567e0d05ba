//! Answers to clients that have not sent a request yet.

use std::time::Duration;

use crate::proxy::answer::Reason;

/// How long a client that is still sending when it is answered is listened to: closing
/// a socket with unread bytes resets it, and the reset can overtake the answer (RFC
/// 9112, section 9.6).
pub const LINGER: Duration = Duration::from_secs(2);

/// A whole answer of HTTP/1.1 that ends the connection. No request is there to say
/// in which form it is wanted, so it is JSON.
pub fn refusal(reason: Reason) -> Vec<u8> {
    let status = reason.status();
    let body = serde_json::json!({ "error": {
        "status": status.as_u16(),
        "reason": reason.id(),
        "message": reason.sentence(),
    }});
    let body = format!("{body}\n");
    let retry = if reason == Reason::TooManyConnections { "Retry-After: 1\r\n" } else { "" };
    format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n{retry}Connection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}
