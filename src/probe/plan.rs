//! What a batch will send, decided and checked before anything is sent.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, uri::Authority};
use http_body_util::Full;
use url::{Host, Url};

use super::compare::Header;
use super::observe;
use super::plan_error::PlanError;

/// Requests of a batch that was given neither a count nor a duration.
pub const DEFAULT_COUNT: u64 = 10;

/// More workers than this exhaust the ports of one address.
pub const MAX_CONCURRENCY: u32 = 10_000;

/// What the person asked for, as typed.
#[derive(Clone, Debug)]
pub struct Order {
    /// The URL; `http://` if it names no scheme.
    pub url: String,
    /// How many requests to send.
    pub count: Option<u64>,
    /// How long to go on beginning new requests.
    pub duration: Option<Duration>,
    /// How many requests may be under way at a time.
    pub concurrency: u32,
    /// Requests begun per second.
    pub rate: Option<f64>,
    /// The method [default: POST with data, else GET].
    pub method: Option<String>,
    /// Headers, each `Name: value`.
    pub headers: Vec<String>,
    /// The body: text, `@FILE`, or `@-` for standard input.
    pub data: Option<String>,
    /// The `Host` (`:authority` in HTTP/2) [default: that of the URL].
    pub host: Option<String>,
    /// Speak HTTP/2: with prior knowledge over TCP, by ALPN over TLS.
    pub http2: bool,
    /// Accept any certificate.
    pub insecure: bool,
    /// Time limit of one request, connecting and reading the body included.
    pub timeout: Duration,
    /// The backend itself, to compare its answers with.
    pub direct: Option<String>,
    /// Use a connection for several requests, one after the other.
    pub keep_alive: bool,
}

/// A checked order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the requests go.
    pub target: Url,
    /// How many requests to send; `None` is without limit.
    pub count: Option<u64>,
    /// How long to go on beginning new requests; `None` is without limit.
    pub duration: Option<Duration>,
    /// How many requests may be under way at a time.
    pub concurrency: u32,
    /// Requests begun per second.
    pub rate: Option<f64>,
    /// Time limit of one request.
    pub timeout: Duration,
    /// Accept any certificate.
    pub insecure: bool,
    /// Use a connection for several requests, one after the other.
    pub keep_alive: bool,
    /// What is sent, each time the same.
    pub(super) message: Message,
    /// The same to the backend itself.
    pub(super) direct: Option<Message>,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// A request, known to the last header.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub endpoint: Endpoint,
    pub http2: bool,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    /// The headers as a backend behind a proxy that changes nothing receives
    /// them: HTTP/2's `:authority` stands as `host`.
    pub sent: Vec<Header>,
}

// === impl Plan ===

impl Plan {
    /// Checks an order; reads the file that its data names.
    pub fn new(order: Order) -> Result<Self, PlanError> {
        check_limits(&order)?;
        let target = parse_url(&order.url)?;
        let body = order.data.as_deref().map(read_data).transpose()?;
        let method = parse_method(order.method.as_deref(), body.is_some())?;
        let (given_host, headers) = parse_headers(&order)?;
        let draft = Draft { method, headers, body, order: &order };
        let message = draft.to(&target, given_host)?;
        let direct = match &order.direct {
            Some(url) => Some(draft.to(&direct_url(url, &target)?, None)?),
            None => None,
        };
        let bounded = order.count.is_some() || order.duration.is_some();
        Ok(Self {
            target,
            count: if bounded { order.count } else { Some(DEFAULT_COUNT) },
            duration: order.duration,
            concurrency: order.concurrency,
            rate: order.rate,
            timeout: order.timeout,
            insecure: order.insecure,
            keep_alive: order.keep_alive,
            message,
            direct,
        })
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn of(url: &Url) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let port = url.port_or_known_default()?;
        Some(Self { host, port, tls: url.scheme() == "https" })
    }

    /// `host:port`, for messages.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether this machine is meant.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

// === impl Message ===

impl Message {
    /// The request, ready to send.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if self.http2 {
            *request.version_mut() = http::Version::HTTP_2;
        }
        request
    }
}

/// What is sent, but for where it goes.
struct Draft<'a> {
    method: Method,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    order: &'a Order,
}

impl Draft<'_> {
    fn to(&self, url: &Url, host: Option<Authority>) -> Result<Message, PlanError> {
        let http2 = self.order.http2;
        let bad = |reason: &str| PlanError::Url { url: url.to_string(), reason: reason.into() };
        let endpoint = Endpoint::of(url).ok_or_else(|| bad("it names no host"))?;
        let host = match host {
            Some(host) => host,
            None => own_authority(url).parse().map_err(|_| bad("its host is not valid"))?,
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let uri = Uri::builder().path_and_query(path);
        let uri = if http2 { uri.scheme(url.scheme()).authority(host.clone()) } else { uri };
        let uri = uri.build().map_err(|error| bad(&error.to_string()))?;

        let mut headers = HeaderMap::new();
        let host =
            HeaderValue::from_str(host.as_str()).map_err(|_| bad("its host is not valid"))?;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(observe::ASK, HeaderValue::from_static("1"));
        for (name, _) in &self.headers {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        if !self.order.keep_alive && !http2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // RFC 9110, section 8.6: a method that defines a meaning for content
        // says 0 where there is none. It is set here, since hyper would
        // otherwise decide what is sent.
        let expects_body = matches!(self.method, Method::POST | Method::PUT | Method::PATCH);
        let body = self.body.clone().unwrap_or_default();
        if self.body.is_some() || expects_body {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let sent = Header::list(&headers);
        if http2 {
            headers.remove(header::HOST);
        }
        Ok(Message { endpoint, http2, method: self.method.clone(), uri, headers, body, sent })
    }
}

const USER_AGENT: &str = concat!("pingora-lab/", env!("CARGO_PKG_VERSION"));

fn check_limits(order: &Order) -> Result<(), PlanError> {
    if order.count == Some(0) {
        return Err(PlanError::Count);
    }
    if order.duration.is_some_and(|duration| duration.is_zero()) {
        return Err(PlanError::Zero("--duration"));
    }
    if order.timeout.is_zero() {
        return Err(PlanError::Zero("--timeout"));
    }
    if !(1..=MAX_CONCURRENCY).contains(&order.concurrency) {
        return Err(PlanError::Concurrency(order.concurrency));
    }
    match order.rate {
        // Below this, the time of the next request is not worth waiting for.
        Some(rate) if !(0.001..=1e6).contains(&rate) => Err(PlanError::Rate(rate)),
        _ => Ok(()),
    }
}

/// The URL as typed; `127.0.0.1:6188` is taken as `http://127.0.0.1:6188/`.
fn parse_url(text: &str) -> Result<Url, PlanError> {
    let bad = |reason: &str| PlanError::Url { url: text.into(), reason: reason.into() };
    let parsed =
        if text.contains("://") { Url::parse(text) } else { format!("http://{text}").parse() };
    let mut url = parsed.map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("its scheme is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(PlanError::Credentials);
    }
    if url.port() == Some(0) {
        return Err(bad("port 0 cannot be connected to"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The backend's URL; where it names no path, that of the target is asked for.
fn direct_url(text: &str, target: &Url) -> Result<Url, PlanError> {
    let mut url = parse_url(text)?;
    if url.path() == "/" && url.query().is_none() {
        url.set_path(target.path());
        url.set_query(target.query());
    }
    Ok(url)
}

/// `host[:port]`, the port only if it is not the scheme's own.
fn own_authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn parse_method(text: Option<&str>, has_body: bool) -> Result<Method, PlanError> {
    let Some(text) = text else {
        return Ok(if has_body { Method::POST } else { Method::GET });
    };
    // Methods are case-sensitive (RFC 9110, section 9.1), but nobody who types
    // `post` means a method of their own.
    let upper = text.to_ascii_uppercase();
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    let text = if known.contains(&upper.as_str()) { &upper } else { text };
    match Method::from_bytes(text.as_bytes()) {
        // It would ask for a tunnel, not for a resource.
        Ok(Method::CONNECT) => Err(PlanError::Connect),
        Ok(method) => Ok(method),
        Err(_) => Err(PlanError::Method(text.to_owned())),
    }
}

type Headers = Vec<(HeaderName, HeaderValue)>;

/// The headers as typed, but for `Host`, which decides more than a header.
fn parse_headers(order: &Order) -> Result<(Option<Authority>, Headers), PlanError> {
    let mut hosts: Vec<&str> = order.host.as_deref().into_iter().collect();
    let mut headers = Vec::new();
    for text in &order.headers {
        let bad = || PlanError::Header(text.clone());
        let (name, value) = text.split_once(':').ok_or_else(bad)?;
        let value = value.trim();
        let name: HeaderName = name.parse().map_err(|_| bad())?;
        if name == header::HOST {
            hosts.push(value);
            continue;
        }
        if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
            return Err(PlanError::Framing(name.to_string()));
        }
        if name == header::CONNECTION && !order.keep_alive {
            return Err(PlanError::Framing(name.to_string()));
        }
        // RFC 9113, section 8.2.2.
        let of_connection = ["connection", "keep-alive", "proxy-connection", "upgrade"];
        if order.http2 && of_connection.contains(&name.as_str()) {
            return Err(PlanError::NotInHttp2(name.to_string()));
        }
        headers.push((name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?));
    }
    match hosts[..] {
        [] => Ok((None, headers)),
        [host] => {
            let authority: Authority = host.parse().map_err(|_| PlanError::Host(host.into()))?;
            if authority.as_str().contains('@') {
                return Err(PlanError::Host(host.into()));
            }
            Ok((Some(authority), headers))
        }
        _ => Err(PlanError::TwoHosts),
    }
}

fn read_data(data: &str) -> Result<Bytes, PlanError> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(Bytes::copy_from_slice(data.as_bytes()));
    };
    let content = if file == "-" {
        let mut content = Vec::new();
        std::io::stdin().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(file)
    };
    content
        .map(Bytes::from)
        .map_err(|error| PlanError::Data { file: file.into(), reason: error.to_string() })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
