//! `impl ProxyHttp`: the phases of a request, in Pingora's order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::answer::{self, Reason};
use super::context::{InFlight, RequestContext, Stale};
use super::forwarded::{self, TrustedProxies};
use super::headers::{Facts, Rules};
use super::pool::{Pool, Target};
use super::{access_log, host, request_id, retry};
use crate::config::Config;

/// The load balancer, as Pingora sees it.
pub struct Proxy {
    pool: Arc<Pool>,
    request_rules: Rules,
    response_rules: Rules,
    trusted: TrustedProxies,
    total_limit: Duration,
    in_flight: InFlight,
}

impl Proxy {
    /// A proxy to the pool, counting its requests in `in_flight`.
    pub fn new(config: &Config, pool: Arc<Pool>, in_flight: InFlight) -> Self {
        Self {
            pool,
            request_rules: Rules::new(&config.headers.request),
            response_rules: Rules::new(&config.headers.response),
            trusted: TrustedProxies::new(config.trusted_proxies.iter().map(|network| network.0)),
            total_limit: config.timeouts.total.get(),
            in_flight,
        }
    }

    /// The proxy answers by itself.
    async fn answer(
        &self,
        session: &mut Session,
        reason: Reason,
        context: &mut RequestContext,
    ) -> Result<()> {
        context.failure = Some(reason);
        let answer = {
            let facts = self.facts(session, context);
            answer::compose(reason, session.req_header(), &self.response_rules, &facts)?
        };
        answer.send(session).await?;
        context.answered = Some(Instant::now());
        answer::linger(session).await;
        Ok(())
    }

    /// What header rules can say of a request and its answer.
    fn facts<'a>(&self, session: &'a Session, context: &'a RequestContext) -> Facts<'a> {
        let headers = &session.req_header().headers;
        let client_ip = client_ip(session);
        Facts {
            request_id: &context.request_id,
            client_ip,
            backend: context.endpoint.as_ref().map(|endpoint| &endpoint.identity.label_value),
            host: headers.get(http::header::HOST),
            trusted: self.trusted.contains(client_ip),
            sent: headers,
        }
    }

    /// The reason to give for an error. What is left of the total time bounds
    /// every other limit, so a limit may have passed in the total's name.
    fn reason(&self, error: &Error, context: &RequestContext) -> Reason {
        let reason = retry::reason(error);
        match reason {
            Reason::ConnectTimeout | Reason::ReadTimeout | Reason::WriteTimeout
                if context.left_of(self.total_limit).is_none() =>
            {
                Reason::TotalTimeout
            }
            reason => reason,
        }
    }

    fn out_of_time(&self, context: &RequestContext) -> Option<Box<Error>> {
        context.left_of(self.total_limit).is_none().then(|| {
            Error::explain(
                ErrorType::Custom(retry::TOTAL_LIMIT),
                "the request's total time is over",
            )
        })
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(&self.in_flight)
    }

    /// Who asks for what, and may they?
    async fn request_filter(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<bool> {
        // HTTP/1.0 knows no 1xx.
        let http_10 = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(http_10);
        let request = session.req_header();
        context.request_id = request_id::of(&request.headers);
        let refused = if request.method == Method::CONNECT {
            Some(Reason::MethodNotAllowed)
        } else if !is_target(request) {
            Some(Reason::BadRequest)
        } else {
            match host::of(request) {
                Err(host::InvalidHost) => Some(Reason::InvalidHost),
                Ok(host) => {
                    let named = host
                        .as_ref()
                        .and_then(|host| host::look_up(host.as_bytes(), |h| self.pool.named(h)));
                    context.target = named.unwrap_or(Target::Any);
                    None
                }
            }
        };
        match refused {
            None => Ok(false),
            Some(reason) => {
                self.answer(session, reason, context).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Box<HttpPeer>> {
        if let Some(error) = self.out_of_time(context) {
            return Err(error);
        }
        let fresh = context.stale == Stale::AskAgain;
        let endpoint = match &context.endpoint {
            Some(same) if fresh => {
                context.stale = Stale::AskedAgain;
                Arc::clone(same)
            }
            _ => match self.pool.next(context.target, &context.tried) {
                Some(next) => next,
                None => {
                    // A retry is only asked for where there is somewhere to go, but
                    // the last backend may have left since: then the failure stands.
                    let reason = context.failure.unwrap_or(Reason::NoHealthyBackend);
                    context.failure = Some(reason);
                    return Error::e_explain(
                        ErrorType::HTTPStatus(reason.status().as_u16()),
                        "no healthy backend",
                    );
                }
            },
        };
        context.attempts += 1;
        let left = context.left_of(self.total_limit).unwrap_or(Duration::from_millis(1));
        let peer = endpoint.peer(left, session.is_upgrade_req(), fresh);
        context.endpoint = Some(endpoint);
        Ok(peer)
    }

    /// Nothing was sent: the next backend may have the request, whatever it is.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        self.pool.suspect();
        context.failure = Some(self.reason(&error, context));
        error.set_retry(self.has_another(context));
        error
    }

    /// Something may have been sent.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut RequestContext,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("backend {peer}"));
        if !retry::may_repeat(session, &error) {
            error.set_retry(false);
        } else if client_reused && context.stale == Stale::No {
            context.stale = Stale::AskAgain;
            error.set_retry(true);
        } else {
            context.failure = Some(self.reason(&error, context));
            error.set_retry(self.has_another(context));
        }
        error
    }

    /// What the backend receives.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        let Some(endpoint) = &context.endpoint else {
            return Error::e_explain(ErrorType::InternalError, "a request without a backend");
        };
        let facts = self.facts(session, context);
        if !facts.trusted {
            forwarded::remove_claims(request);
        }
        // A backend is an origin server: the absolute form is for proxies (RFC
        // 9112, section 3.2.1). Pingora keeps the path of one in the URI.
        if !matches!(request.raw_path().first(), Some(b'/' | b'*')) {
            let origin_form = request.uri.path_and_query().map_or("/", |path| path.as_str());
            let uri = origin_form.parse().map_err(|error| {
                Error::because(ErrorType::InvalidHTTPHeader, "the request's target", error)
            })?;
            request.set_uri(uri);
        }
        let host = request.headers.get(http::header::HOST).cloned();
        // Pingora has seen to it that there is one, where the client sent any.
        let facts = Facts { host: host.as_ref(), ..facts };
        self.request_rules.apply(request, &facts)?;
        match (&endpoint.identity.host, host) {
            (Some(own), _) => request.insert_header(http::header::HOST, own.clone())?,
            (None, Some(_)) => {}
            // HTTP/1.0 without a Host goes on as HTTP/1.1, which needs one.
            (None, None) => {
                request.insert_header(http::header::HOST, endpoint.identity.label_value.clone())?
            }
        }
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        _body: &mut Option<Bytes>,
        _end_of_stream: bool,
        context: &mut RequestContext,
    ) -> Result<()> {
        // A tunnel's bytes pass here too, and it has no total limit.
        if session.was_upgraded() || has_answer(session) {
            return Ok(());
        }
        self.out_of_time(context).map_or(Ok(()), Err)
    }

    /// What the client receives.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
            // To a client that goes on in HTTP, what follows would be answers.
            return Err(Error::explain(
                ErrorType::InvalidHTTPHeader,
                "a change of protocol that was not asked for",
            )
            .into_up());
        }
        context.failure = None;
        if session.req_header().version == Version::HTTP_10
            && response.remove_header(&http::header::TRANSFER_ENCODING).is_some()
        {
            // Nor does it know chunks: the end of the connection ends the answer.
            session.set_keepalive(None);
        }
        let facts = self.facts(session, context);
        self.response_rules.apply(response, &facts)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut RequestContext,
    ) -> FailToProxy {
        let reason = match error.etype() {
            ErrorType::HTTPStatus(_) => context.failure.unwrap_or(Reason::Internal),
            _ => match self.reason(error, context) {
                // Both were silent; a backend may wait for the whole request.
                Reason::ReadTimeout if owes_its_body(session) => Reason::ClientTimeout,
                reason => reason,
            },
        };
        context.failure = Some(reason);
        if reason != Reason::ClientClosed && !has_answer(session) {
            // The client may be gone by now; then nobody is left to tell.
            let _ = self.answer(session, reason, context).await;
        }
        FailToProxy {
            error_code: if reason == Reason::ClientClosed { 0 } else { reason.logged_status() },
            can_reuse_downstream: false,
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&Error>,
        context: &mut RequestContext,
    ) {
        access_log::write(session, error, context);
    }

    /// The access log says it.
    fn suppress_error_log(&self, _: &Session, _: &RequestContext, error: &Error) -> bool {
        *error.esource() != ErrorSource::Internal
            || matches!(error.etype(), ErrorType::Custom(_) | ErrorType::HTTPStatus(_))
    }

    /// The access log says how many attempts there were.
    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &RequestContext,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Proxy {
    /// Notes that the last address failed, and says whether there is another.
    fn has_another(&self, context: &mut RequestContext) -> bool {
        if let Some(endpoint) = &context.endpoint {
            context.tried.push(endpoint.address);
        }
        self.pool.has_next(context.target, &context.tried)
    }
}

/// Whether the client has been sent the beginning of an answer; 1xx are none.
fn has_answer(session: &Session) -> bool {
    session.response_written().is_some_and(|answer| !answer.status.is_informational())
}

/// Whether the request is for something: a path, an absolute URI, or the server
/// itself (RFC 9112, section 3.2).
fn is_target(request: &RequestHeader) -> bool {
    match request.raw_path() {
        [b'/', ..] => true,
        b"*" => request.method == Method::OPTIONS,
        other => other.windows(3).any(|part| part == b"://"),
    }
}

/// Whether it is the client's turn: its body is not whole, and it does not wait
/// for a `100 Continue` that the backend has not sent.
fn owes_its_body(session: &mut Session) -> bool {
    let waits = session.req_header().headers.contains_key(http::header::EXPECT)
        && session.response_written().is_none();
    !waits && !session.is_body_done()
}

fn client_ip(session: &Session) -> Option<IpAddr> {
    // An IPv4 client of an IPv6 socket is an IPv4 client.
    session.client_addr()?.as_inet().map(|address| address.ip().to_canonical())
}
