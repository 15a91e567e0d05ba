//! The proxy's own answers: a status, a reason that a program can read, and a
//! sentence for a person.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::connection::LINGER;
use super::route::Fixed;

/// Why the proxy answers by itself, or why an answer broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No `Host`, more than one, or one that is no host.
    InvalidHost,
    /// The request cannot be understood.
    BadRequest,
    /// CONNECT or TRACE, which no load balancer serves.
    MethodNotAllowed,
    /// The header has more bytes or fields than it may.
    HeaderTooLarge,
    /// The body has more bytes than it may.
    BodyTooLarge,
    /// As many connections are open as may be.
    TooManyConnections,
    /// The client sent nothing for too long.
    ClientTimeout,
    /// The client went away; nobody is left to answer.
    ClientClosed,
    /// No route fits.
    NoRoute,
    /// An access list keeps the client out.
    Forbidden,
    /// The client has sent as many requests as it may.
    RateLimited,
    /// A path that different servers would read differently.
    AmbiguousPath,
    /// No backend is healthy, or the one that was asked for is not.
    NoHealthyBackend,
    /// Every backend has as many requests as it may have.
    Overloaded,
    /// Every backend refused the connection or could not be reached.
    ConnectFailed,
    /// No backend could be spoken to over TLS: its certificate is not the right one, or
    /// it refused ours.
    TlsFailed,
    /// No connection in time.
    ConnectTimeout,
    /// The backend did not answer in time.
    ReadTimeout,
    /// The backend did not take the request in time.
    WriteTimeout,
    /// All tries together took too long.
    TotalTimeout,
    /// The backend closed the connection before its answer was whole.
    ConnectionBroken,
    /// The backend's answer is not HTTP that can be passed on.
    InvalidAnswer,
    /// The client has not shown who it is.
    Unauthorized,
    /// The client has shown who it is, and may not.
    NotPermitted,
    /// As many passwords or signatures are being verified as may be.
    AuthBusy,
    /// A fault of the proxy's own.
    Internal,
}

impl Reason {
    /// What programs know the reason by.
    pub const fn id(self) -> &'static str {
        self.parts().1
    }

    /// The status code.
    pub const fn status(self) -> StatusCode {
        self.parts().0
    }

    /// A sentence for a person.
    pub(super) const fn sentence(self) -> &'static str {
        self.parts().2
    }

    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidHost => {
                (S::BAD_REQUEST, "invalid_host", "The request needs exactly one valid Host field.")
            }
            Self::BadRequest => (S::BAD_REQUEST, "bad_request", "The request is malformed."),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "CONNECT and TRACE are not served.")
            }
            Self::HeaderTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "header_too_large",
                "The request's header is too large.",
            ),
            Self::BodyTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "body_too_large", "The request's body is too large.")
            }
            Self::TooManyConnections => (
                S::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "Too many connections are open; try again later.",
            ),
            Self::ClientTimeout => (
                S::REQUEST_TIMEOUT,
                "client_timeout",
                "The rest of the request did not come in time.",
            ),
            // 499, which nginx logs too; never sent. No constant is in the crate.
            Self::ClientClosed => (S::BAD_REQUEST, "client_closed", "The client went away."),
            Self::NoRoute => (S::NOT_FOUND, "no_route", "Nothing is served at this address."),
            Self::Forbidden => {
                (S::FORBIDDEN, "forbidden", "Clients of this address may not come here.")
            }
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests; try again after the time in Retry-After.",
            ),
            Self::AmbiguousPath => {
                (S::BAD_REQUEST, "ambiguous_path", "The path can be read in more than one way.")
            }
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                "Every backend has as many requests as it may have; try again later.",
            ),
            Self::NoHealthyBackend => (
                S::SERVICE_UNAVAILABLE,
                "no_healthy_backend",
                "No healthy backend can take this request now.",
            ),
            Self::ConnectFailed => {
                (S::BAD_GATEWAY, "connect_failed", "No backend accepted a connection.")
            }
            Self::TlsFailed => (
                S::BAD_GATEWAY,
                "tls_failed",
                "No backend could be spoken to over TLS; the log says why.",
            ),
            Self::ConnectTimeout => {
                (S::GATEWAY_TIMEOUT, "connect_timeout", "No backend accepted a connection in time.")
            }
            Self::ReadTimeout => {
                (S::GATEWAY_TIMEOUT, "read_timeout", "The backend did not answer in time.")
            }
            Self::WriteTimeout => (
                S::GATEWAY_TIMEOUT,
                "write_timeout",
                "The backend did not take the request in time.",
            ),
            Self::TotalTimeout => (
                S::GATEWAY_TIMEOUT,
                "total_timeout",
                "No backend answered within the request's total time.",
            ),
            Self::ConnectionBroken => (
                S::BAD_GATEWAY,
                "connection_broken",
                "The backend closed the connection before its answer was complete.",
            ),
            Self::InvalidAnswer => {
                (S::BAD_GATEWAY, "invalid_answer", "The backend's answer is not valid HTTP.")
            }
            Self::Unauthorized => (
                S::UNAUTHORIZED,
                "unauthorized",
                "Show who you are, in the way that WWW-Authenticate says.",
            ),
            Self::NotPermitted => (S::FORBIDDEN, "not_permitted", "This user may not do this."),
            Self::AuthBusy => (
                S::SERVICE_UNAVAILABLE,
                "auth_busy",
                "Too many logins are being verified; try again later.",
            ),
            Self::Internal => {
                (S::INTERNAL_SERVER_ERROR, "internal", "The load balancer failed on this request.")
            }
        }
    }

    /// Whether it is a decision about a request that was understood, before a backend was
    /// looked for, so that the connection may go on. Behind that Pingora ends the connection,
    /// which the answer has to say (RFC 9112, section 9.6).
    const fn is_of_route(self) -> bool {
        matches!(
            self,
            Self::NoRoute
                | Self::Forbidden
                | Self::Unauthorized
                | Self::NotPermitted
                | Self::AuthBusy
                | Self::RateLimited
        )
    }

    /// The status to log where none was sent.
    pub const fn logged_status(self) -> u16 {
        match self {
            Self::ClientClosed => 499,
            _ => self.status().as_u16(),
        }
    }

    fn body(self, form: Form, request_id: &HeaderValue) -> Bytes {
        let (status, id, sentence) = self.parts();
        let request_id = request_id.to_str().unwrap_or_default();
        match form {
            Form::Text => format!(
                "{} {}: {sentence}\nreason: {id}\nrequest id: {request_id}\n",
                status.as_u16(),
                status.canonical_reason().unwrap_or_default(),
            )
            .into(),
            Form::Json => {
                let body = serde_json::json!({ "error": {
                    "status": status.as_u16(),
                    "reason": id,
                    "message": sentence,
                    "request_id": request_id,
                }});
                format!("{body}\n").into()
            }
        }
    }
}

/// The two forms of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

impl Form {
    /// Text where `Accept` prefers it, else JSON (RFC 9110, section 12.5.1).
    fn accepted(headers: &HeaderMap) -> Self {
        let (mut json, mut text) = ((0, 0.0), (0, 0.0));
        let mut any = false;
        for field in headers.get_all(ACCEPT) {
            let Ok(field) = field.to_str() else { continue };
            for range in field.split(',') {
                any = true;
                let mut parts = range.split(';').map(str::trim);
                let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
                let quality = parts
                    .filter_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
                    .find_map(|q| q.parse::<f32>().ok())
                    .unwrap_or(1.0);
                // The most specific range that matches says how much it is wanted.
                let weigh = |kinds: &[&str], precision: u8, best: &mut (u8, f32)| {
                    if kinds.contains(&kind.as_str()) && precision >= best.0 {
                        *best = (
                            precision,
                            if precision > best.0 { quality } else { quality.max(best.1) },
                        );
                    }
                };
                weigh(&["*/*"], 1, &mut json);
                weigh(&["*/*"], 1, &mut text);
                weigh(&["application/*"], 2, &mut json);
                weigh(&["text/*"], 2, &mut text);
                weigh(&["application/json"], 3, &mut json);
                // A browser asks for HTML; plain text is what it can show as it is.
                weigh(&["text/plain", "text/html"], 3, &mut text);
            }
        }
        if any && text.1 > json.1 { Self::Text } else { Self::Json }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

/// An answer of the proxy's own, ready to be sent.
pub struct Answer {
    header: Box<ResponseHeader>,
    /// None to HEAD.
    body: Option<Bytes>,
    /// The connection ends after it, since nothing that follows can be trusted.
    last: bool,
}

/// Puts an answer with a reason together.
///
/// # Errors
///
/// None that is known of.
pub fn compose(
    reason: Reason,
    request: &RequestHeader,
    request_id: &HeaderValue,
) -> Result<Answer> {
    let form = Form::accepted(&request.headers);
    let body = reason.body(form, request_id);
    let mut header = ResponseHeader::build(reason.status(), Some(8))?;
    header.insert_header(CONTENT_TYPE, form.content_type())?;
    header.insert_header(CONTENT_LENGTH, body.len())?;
    header.insert_header(DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    header.insert_header(http::header::CACHE_CONTROL, "no-store")?;
    if reason == Reason::MethodNotAllowed {
        // RFC 9110, section 15.5.6 asks for it.
        header
            .insert_header(http::header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
    }
    let body = (request.method != Method::HEAD).then_some(body);
    Ok(Answer { header: Box::new(header), body, last: !reason.is_of_route() })
}

/// A redirect to a location.
///
/// # Errors
///
/// None that is known of.
pub fn redirect(status: StatusCode, location: HeaderValue) -> Result<Answer> {
    let mut header = ResponseHeader::build(status, Some(8))?;
    header.insert_header(LOCATION, location)?;
    header.insert_header(CONTENT_LENGTH, 0)?;
    header.insert_header(DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    Ok(Answer { header: Box::new(header), body: None, last: false })
}

/// The answer to a browser that asks what it may send; the policy will say it.
///
/// # Errors
///
/// None that is known of.
pub fn preflight() -> Result<Answer> {
    let mut header = ResponseHeader::build(StatusCode::NO_CONTENT, Some(8))?;
    header.insert_header(DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    Ok(Answer { header: Box::new(header), body: None, last: false })
}

/// An answer that a route always gives.
///
/// # Errors
///
/// None that is known of.
pub fn fixed(fixed: &Fixed, request: &RequestHeader) -> Result<Answer> {
    let mut header = ResponseHeader::build(fixed.status, Some(8))?;
    if let Some(content_type) = &fixed.content_type {
        header.insert_header(CONTENT_TYPE, content_type.clone())?;
    }
    // RFC 9110, section 8.6: these have none.
    let bare = matches!(fixed.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bare {
        header.insert_header(CONTENT_LENGTH, fixed.body.len())?;
    }
    header.insert_header(DATE, httpdate::fmt_http_date(std::time::SystemTime::now()))?;
    let body = (request.method != Method::HEAD && !bare && !fixed.body.is_empty())
        .then(|| fixed.body.clone());
    Ok(Answer { header: Box::new(header), body, last: false })
}

impl Answer {
    /// Its header, to add to.
    pub fn header_mut(&mut self) -> &mut ResponseHeader {
        &mut self.header
    }

    /// Sends it. The connection ends after it where what is left of the request
    /// has not been read; [`linger`] before that.
    ///
    /// # Errors
    ///
    /// The client could not be written to.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        if self.last || !session.is_body_done() {
            session.set_keepalive(None);
        }
        session.write_response_header(self.header, self.body.is_none()).await?;
        if self.body.is_some() {
            session.write_response_body(self.body, true).await?;
        }
        Ok(())
    }
}

/// Whether the client has been sent the beginning of an answer. 1xx are none, but for
/// 101, after which there is no HTTP any more.
pub fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|answer| {
        !answer.status.is_informational() || answer.status == StatusCode::SWITCHING_PROTOCOLS
    })
}

/// Reads on for a moment where the client is still sending: closing a socket
/// with unread bytes resets it, and the reset can overtake the answer (RFC
/// 9112, section 9.6).
pub async fn linger(session: &mut Session) {
    if !session.is_body_done() {
        // Nothing more is wanted of the client, so neither its failing nor its
        // slowness matters.
        let _ = tokio::time::timeout(LINGER, session.drain_request_body()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: Option<&'static str>) -> Form {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        Form::accepted(&headers)
    }

    #[test]
    fn json_unless_text_is_wanted_more() {
        for accept in [
            None,
            Some("*/*"),
            Some("application/json"),
            Some("text/plain;q=0.5, application/json"),
            Some("image/png"),
            Some("text/*;q=0.1, */*"),
            Some("text/plain;q=0"),
        ] {
            assert_eq!(form(accept), Form::Json, "{accept:?}");
        }
        for accept in [
            "text/plain",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json;q=0.5, text/plain",
            "text/*",
        ] {
            assert_eq!(form(Some(accept)), Form::Text, "{accept}");
        }
    }

    #[test]
    fn a_body_names_status_reason_and_request() {
        let id = HeaderValue::from_static("id-1");
        let json: serde_json::Value =
            serde_json::from_slice(&Reason::NoHealthyBackend.body(Form::Json, &id)).unwrap();
        assert_eq!(json["error"]["status"], 503);
        assert_eq!(json["error"]["reason"], "no_healthy_backend");
        assert_eq!(json["error"]["request_id"], "id-1");
        let text = Reason::ReadTimeout.body(Form::Text, &id);
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("504 Gateway Timeout: "), "{text}");
        assert!(text.contains("reason: read_timeout\n"), "{text}");
    }
}
