//! What stands before each backend's router: it takes the request in whole,
//! and makes every answer say on the wire what it claims to say.
//!
//! The headers that an HTTP library would add by itself on the way out
//! (`date`, `content-length`, `transfer-encoding`, `connection`) are set here,
//! so that an observation can report them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::Site;
use super::call::Received;
use super::observation::{
    BACKEND, Headers, OBSERVE, OBSERVED_REQUEST, OBSERVED_RESPONSE, OMITTED, Observation,
};
use super::reply;

/// The largest request body that is taken, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// How long a client may take to send a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// One backend: its router, and what is done around it.
#[derive(Clone)]
pub(super) struct Frontage {
    site: Site,
    router: TowerToHyperService<Router>,
}

/// What of the request decides how the answer is framed.
struct Framing {
    version: Version,
    head_only: bool,
    /// No other request can follow on this connection.
    close: bool,
}

// === impl Frontage ===

impl Frontage {
    pub fn new(site: Site) -> Self {
        Self { site, router: TowerToHyperService::new(site.router()) }
    }

    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let (mut parts, body) = request.into_parts();
        name_the_host(&mut parts.headers, parts.uri.authority().map(|a| a.as_str()));
        let observed = asks_for_observation(&parts.headers).then(|| Headers::from(&parts.headers));
        let mut framing = Framing::of(&parts.method, parts.version, &parts.headers);

        let mut response = match receive(&parts.headers, body).await {
            Err(refusal) => {
                // The rest of the body is still to come and nobody reads it.
                framing.close = true;
                refusal
            }
            Ok(body) if parts.uri.path().starts_with('/') && parts.method != Method::CONNECT => {
                parts.extensions.insert(Received { body, peer });
                let request = Request::from_parts(parts, Body::empty());
                match self.router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
            // `CONNECT host:port` and `OPTIONS *` name no resource.
            Ok(_) => {
                let explanation = "The target of the request is not a path.";
                reply::error_json(StatusCode::BAD_REQUEST, "not_a_path", explanation)
            }
        };
        framing.apply(&mut response);
        self.sign(&mut response);
        if let Some(request) = observed {
            observe(&request, &mut response);
        }
        response
    }

    fn sign(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let server = HeaderValue::from_static(self.site.server());
        headers.entry(header::SERVER).or_insert(server);
        headers.insert(BACKEND, HeaderValue::from_static(self.site.name()));
    }
}

/// HTTP/2 has `:authority` where HTTP/1.1 has `Host`; handlers read `host`.
fn name_the_host(headers: &mut HeaderMap, authority: Option<&str>) {
    if let Some(authority) = authority
        && !headers.contains_key(header::HOST)
        && let Ok(value) = HeaderValue::from_str(authority)
    {
        headers.insert(header::HOST, value);
    }
}

fn asks_for_observation(headers: &HeaderMap) -> bool {
    headers.get(OBSERVE).is_some_and(|value| value == "1")
}

/// The whole body, or the answer that refuses it.
async fn receive(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Response> {
    // A client that expects `100 Continue` is told no before it sends.
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > BODY_LIMIT as u64) {
        return Err(too_large());
    }
    let whole = Limited::new(body, BODY_LIMIT).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let message = format!("The request body could not be read: {error}.");
            Err(reply::error_json(StatusCode::BAD_REQUEST, "body_broken", &message))
        }
        Err(_elapsed) => {
            let message = format!("The request body took over {} s.", BODY_TIMEOUT.as_secs());
            Err(reply::error_json(StatusCode::REQUEST_TIMEOUT, "body_timeout", &message))
        }
    }
}

fn too_large() -> Response {
    let message = format!("The lab backends take request bodies of up to {BODY_LIMIT} bytes.");
    reply::error_json(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message)
}

/// Adds the observation; the last thing done to an answer.
fn observe(request: &Headers, response: &mut Response) {
    let observation = Observation::new(request, &Headers::from(response.headers()));
    let omitted = observation.omitted();
    let headers = response.headers_mut();
    let encoded =
        [(OBSERVED_REQUEST, observation.request), (OBSERVED_RESPONSE, observation.response)];
    for (name, value) in encoded {
        // base64url is always a valid header value.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    if let Some(omitted) = omitted {
        headers.insert(OMITTED, HeaderValue::from_static(omitted));
    }
}

// === impl Framing ===

impl Framing {
    fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        let asked = headers.get_all(header::CONNECTION).iter().any(|value| {
            let mut tokens = value.as_bytes().split(|&byte| byte == b',');
            tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
        });
        Self {
            version,
            head_only: method == Method::HEAD,
            // HTTP/1.0 has no chunks: the end of a stream is the connection's.
            close: asked || version < Version::HTTP_11,
        }
    }

    /// Sets what belongs to the message and not to its meaning (RFC 9112,
    /// sections 6 and 9.6).
    fn apply(&self, response: &mut Response) {
        *response.version_mut() = self.version;
        let status = response.status();
        let length = response.body().size_hint().exact();
        let headers = response.headers_mut();
        headers.entry(header::DATE).or_insert_with(date);
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            headers.remove(header::CONTENT_LENGTH);
            *response.body_mut() = Body::empty();
        } else if self.head_only {
            // The router has taken the body away and left its length.
        } else if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        } else if self.version == Version::HTTP_11 && !headers.contains_key(header::CONTENT_LENGTH)
        {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if self.close && self.version < Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
    }
}

/// Now, as HTTP writes it (RFC 9110, section 5.6.7).
pub(super) fn date() -> HeaderValue {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let now = printer.timestamp_to_rfc9110_string(&jiff::Timestamp::now());
    // Digits, letters and punctuation, and years that fit for a long time.
    now.ok()
        .and_then(|text| HeaderValue::try_from(text).ok())
        .unwrap_or(HeaderValue::from_static(""))
}
