//! `impl ProxyHttp`: the phases of a request, in Pingora's order.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use super::answer::{self, Reason};
use super::connection::Dialogue;
use super::context::{InFlight, RequestContext, Stale};
use super::decision::Decision;
use super::fields::{self, Message};
use super::forwarded;
use super::headers::Facts;
use super::metrics::upstream::Cause;
use super::outcome::Outcome;
use super::policies::Instead;
use super::pool::NoBackend;
use super::route::Route;
use super::snapshot::Current;
use super::witness::Witness;
use super::{backend_answer, choice, every_answer, framing, http10, retry, wait};

/// The load balancer, as Pingora sees it.
pub struct Proxy {
    pub(super) current: Arc<Current>,
    in_flight: InFlight,
    witness: Witness,
}

impl Proxy {
    /// A proxy that goes by what is current, counting its requests in `in_flight`.
    pub fn new(current: Arc<Current>, in_flight: InFlight, witness: Witness) -> Self {
        in_flight.watched_by(&witness);
        Self { current, in_flight, witness }
    }

    /// Who keeps what is left of its requests.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// What is done with the request; what is done with those that no route fits,
    /// before it has been looked at.
    pub(super) fn route(&self, context: &RequestContext) -> Arc<Route> {
        match &context.route {
            Some(route) => Arc::clone(route),
            None => Arc::clone(&self.current.load().not_found),
        }
    }
}

/// What header rules can say of a request and its answer.
pub(super) fn facts<'a>(session: &'a Session, context: &'a RequestContext) -> Facts<'a> {
    let dialogue = Dialogue::of(session);
    Facts {
        request_id: &context.request_id,
        peer: dialogue.and_then(Dialogue::peer),
        client: context.client,
        backend: context.endpoint().map(|endpoint| &endpoint.identity.label_value),
        host: None,
        trusted: context.trusted,
        secure: dialogue.is_some_and(|dialogue| dialogue.terms().tls),
        sent: &session.req_header().headers,
        session,
        context,
    }
}

/// The reason to give for an error. What is left of the total time bounds
/// every other limit, so a limit may have passed in the total's name.
fn reason(error: &Error, session: &mut Session, context: &RequestContext) -> Reason {
    let reason = retry::reason(error);
    // Both were silent; a backend may wait for the whole request.
    let silent = context.overdue || reason == Reason::ReadTimeout;
    if silent && context.connection.is_some() && owes_its_body(session) {
        return Reason::ClientTimeout;
    }
    match reason {
        _ if context.overdue => Reason::TotalTimeout,
        Reason::ConnectTimeout | Reason::ReadTimeout | Reason::WriteTimeout
            if context.time_left(Instant::now()).is_none() =>
        {
            Reason::TotalTimeout
        }
        reason => reason,
    }
}

fn out_of_time() -> Box<Error> {
    Error::explain(ErrorType::Custom(retry::TOTAL_LIMIT), "the request's total time is over")
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// In a box, since Pingora moves it from future to future.
    type CTX = Box<RequestContext>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestContext::new(&self.in_flight))
    }

    /// Pingora's own, which compresses, is not needed.
    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        modules.add_module(http10::Unchunked::builder());
    }

    /// Who asks for what, and may they?
    async fn request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<bool> {
        // HTTP/1.0 knows no 1xx.
        let http_10 = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(http_10);
        let mut decision = self.look_at(session, context);
        #[cfg(test)]
        super::faults::at("request", session.req_header());
        // What few requests need is in boxes of its own: Pingora moves this phase's
        // future, with room for all that may happen in it.
        if let Decision::SendOn | Decision::Answer(_) = decision
            && let Some(route) = context.route_with_policies()
            && let Some(policies) = &route.policies
            && let Err(instead) = Box::pin(policies.admit(session, context)).await
        {
            decision = match instead {
                Instead::Refuse(reason) => Decision::Refuse(reason),
                Instead::Preflight => Decision::Preflight,
            };
        }
        if let Decision::SendOn = decision {
            if let Some(pool) = context.route.as_ref().and_then(|route| route.pool()) {
                pool.count_request();
            }
            return Ok(false);
        }
        Box::pin(self.carry_out(decision, session, context)).await?;
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        context: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let Some(left) = context.time_left(Instant::now()) else { return Err(out_of_time()) };
        let fresh = context.stale == Stale::AskAgain && context.ticket.is_some();
        if fresh {
            context.stale = Stale::AskedAgain;
        } else {
            let route = self.route(context);
            let Some(pool) = route.pool() else {
                return Error::e_explain(ErrorType::InternalError, "a request without a pool");
            };
            let key = choice::hash_key(pool.config(), session.req_header(), context.client);
            let next = pool.enter(context.target, &key, &context.tried, left).await;
            match next {
                Ok(ticket) => context.ticket = Some(ticket),
                Err(nobody) => {
                    // A retry is only asked for where there is somewhere to go, but
                    // the last backend may have left since: then the failure stands.
                    let reason = context.failure.unwrap_or(match nobody {
                        NoBackend::NoneHealthy => Reason::NoHealthyBackend,
                        NoBackend::Overloaded => Reason::Overloaded,
                    });
                    context.failure = Some(reason);
                    return Error::e_explain(
                        ErrorType::HTTPStatus(reason.status().as_u16()),
                        "no backend takes the request",
                    );
                }
            }
        }
        // It may have waited.
        let now = Instant::now();
        let left = context.time_left(now).unwrap_or(Duration::from_millis(1));
        context.attempts += 1;
        context.connection = None;
        context.tried_at = Some(now);
        context.upstream_time = None;
        let Some(endpoint) = context.endpoint() else {
            return Error::e_explain(ErrorType::InternalError, "a request without a backend");
        };
        Ok(endpoint.peer(left, session.is_upgrade_req(), fresh))
    }

    /// The request is about to be sent.
    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        fd: RawFd,
        _digest: Option<&Digest>,
        context: &mut Self::CTX,
    ) -> Result<()> {
        context.connection = Some(fd);
        if let Some(metrics) = context.upstream() {
            metrics.connected(reused);
        }
        Ok(())
    }

    /// Nothing was sent: the next backend may have the request, whatever it is.
    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let reason = reason(&error, session, context);
        context.failure = Some(reason);
        count_failure(context, reason);
        if let Some(pool) = self.route(context).pool() {
            pool.suspect();
            if let (Some(Reason::TlsFailed), Some(endpoint)) = (context.failure, context.endpoint())
            {
                endpoint.tls_failed(pool.name(), &error);
            }
        }
        let again = self.may_try_another(context);
        if again {
            count_retry(context, Cause::Connect);
        }
        error.set_retry(again);
        error
    }

    /// Something may have been sent.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        context: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("backend {peer}"));
        context.overdue = wait::end();
        let reason = reason(&error, session, context);
        if context.overdue || !retry::may_repeat(session, &error) {
            // That a changed protocol ends is no failure of the backend, nor is a client
            // that has left both waiting for its body.
            let fails = *error.esource() == ErrorSource::Upstream && !session.was_upgraded();
            if fails && reason != Reason::ClientTimeout {
                count_failure(context, reason);
                if let Some(ticket) = &mut context.ticket {
                    ticket.failed();
                }
            }
            error.set_retry(false);
        } else if client_reused && context.stale == Stale::No {
            context.stale = Stale::AskAgain;
            count_retry(context, Cause::Stale);
            error.set_retry(true);
        } else {
            context.failure = Some(reason);
            count_failure(context, reason);
            let again = self.may_try_another(context)
                && self.route(context).pool().is_some_and(|pool| pool.withdraw_retry());
            if again {
                count_retry(context, Cause::Broken);
            }
            error.set_retry(again);
        }
        error
    }

    /// What the backend receives.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Self::CTX,
    ) -> Result<()> {
        #[cfg(test)]
        super::faults::at("upstream_request", session.req_header());
        let Some(endpoint) = context.endpoint() else {
            return Error::e_explain(ErrorType::InternalError, "a request without a backend");
        };
        let facts = facts(session, context);
        let census = context.census;
        if census.claim && !facts.trusted {
            forwarded::remove_claims(request);
        }
        // A backend is an origin server: the absolute form is for proxies (RFC
        // 9112, section 3.2.1). Pingora keeps the path of one in the URI.
        let origin_form = match &context.path {
            Some(path) => Some(path.as_str()),
            None if matches!(request.raw_path().first(), Some(b'/' | b'*')) => None,
            None => Some(request.uri.path_and_query().map_or("/", |path| path.as_str())),
        };
        if let Some(path) = origin_form {
            let uri = path.parse().map_err(|error| {
                Error::because(ErrorType::InvalidHTTPHeader, "the request's target", error)
            })?;
            request.set_uri(uri);
        }
        let route = self.route(context);
        if census.look_alike {
            route.request_rules.remove_look_alikes(request);
        }
        if let Some(policies) = &route.policies {
            policies.conceal(request)?;
        }
        let own = endpoint.identity.host.as_ref();
        // HTTP/2 has other requests on the same connection, and headers come in one piece.
        if request.version == Version::HTTP_11 {
            context.begin_to_wait();
        }
        request.change(|fields| {
            if let Some(trace) = &context.trace {
                trace.apply(fields, census)?;
            }
            let host = fields.get(HOST).cloned();
            // Pingora has seen to it that there is one, where the client sent any.
            let facts = Facts { host: host.as_ref(), ..facts };
            route.request_rules.apply(fields, &facts)?;
            match (own, host) {
                (Some(own), _) => fields::set(fields, HOST, own.clone()),
                (None, Some(_)) => Ok(()),
                // HTTP/1.0 without a Host goes on as HTTP/1.1, which needs one.
                (None, None) => fields::set(fields, HOST, endpoint.identity.label_value.clone()),
            }
        })
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Self::CTX,
    ) -> Result<()> {
        let limit = context.route.as_ref().map_or(u64::MAX, |route| route.body_limit());
        framing::body_passes(session, end_of_stream, limit)?;
        // A tunnel's bytes pass here too, and who is answered may say more at any time.
        if body.is_none() || session.was_upgraded() || answer::has_begun(session) {
            return Ok(());
        }
        let bytes = session.body_bytes_read();
        let least = |dialogue: &Dialogue| dialogue.terms().limits.body_rate;
        if Dialogue::of(session).is_none_or(|it| context.more_has_come(bytes, least(it))) {
            return Ok(());
        }
        Err(Error::explain(ErrorType::ReadTimedout, "the body comes too slowly").into_down())
    }

    /// What the backend sent.
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        _context: &mut Self::CTX,
    ) -> Result<()> {
        let more_to_come = response.status.is_informational();
        if !more_to_come || response.status == StatusCode::SWITCHING_PROTOCOLS {
            wait::end();
        }
        backend_answer::tidy(response)
    }

    /// What the client receives.
    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Self::CTX,
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
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            framing::upgraded(session);
        } else {
            framing::answered(session);
            if self.in_flight.is_leaving() {
                session.set_keepalive(None);
            }
        }
        #[cfg(test)]
        super::faults::at("response", session.req_header());
        context.failure = None;
        context.upstream_time = context.tried_at.map(|at| at.elapsed());
        if let (Some(metrics), Some(took)) = (context.upstream(), context.upstream_time) {
            metrics.answered(took);
        }
        let route = self.route(context);
        if let Some(ticket) = &mut context.ticket {
            match route.pool() {
                Some(pool) if pool.is_failure(response.status) => ticket.failed(),
                _ => ticket.succeeded(),
            }
        }
        if http10::ends_with_the_connection(session.req_header(), response) {
            session.set_keepalive(None);
        }
        if let Some(compression) = &route.compression {
            context.encoder = compression.begin(session.req_header(), response)?;
        }
        every_answer::complete(response, &route, session, context)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        context: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        #[cfg(test)]
        super::faults::at("response_body", _session.req_header());
        if let Some(encoder) = &mut context.encoder {
            *body = encoder.filter(body.take(), end_of_stream)?;
        }
        Ok(None)
    }

    /// The end of a body that trailers follow (HTTP/2 backends).
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        context: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        match &mut context.encoder {
            Some(encoder) => encoder.filter(None, true),
            None => Ok(None),
        }
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Self::CTX,
    ) -> FailToProxy {
        let reason = match error.etype() {
            ErrorType::HTTPStatus(_) => context.failure.unwrap_or(Reason::Internal),
            _ => reason(error, session, context),
        };
        context.failure = Some(reason);
        if reason != Reason::ClientClosed && !answer::has_begun(session) {
            // The client may be gone by now; then nobody is left to tell.
            let _ = self.refuse(session, reason, context).await;
        }
        FailToProxy {
            error_code: if reason == Reason::ClientClosed { 0 } else { reason.logged_status() },
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, context: &mut Self::CTX) {
        let outcome = Outcome::of(session, error, context);
        self.witness.ended(session, &outcome, context);
        context.seen_off = true;
        framing::ended(session, outcome.reason);
    }

    /// The access log says it.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, error: &Error) -> bool {
        *error.esource() != ErrorSource::Internal
            || matches!(error.etype(), ErrorType::Custom(_) | ErrorType::HTTPStatus(_))
    }

    /// The access log says how many attempts there were.
    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Self::CTX,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Proxy {
    /// Notes that the last address failed, and says whether there is another.
    fn may_try_another(&self, context: &mut RequestContext) -> bool {
        if let Some(ticket) = &mut context.ticket {
            ticket.failed();
            context.tried.push(ticket.address());
        }
        let route = self.route(context);
        route.pool().is_some_and(|pool| pool.may_try_again(context.target, &context.tried))
    }
}

fn count_failure(context: &RequestContext, reason: Reason) {
    if let Some(metrics) = context.upstream() {
        metrics.failed(reason);
    }
}

fn count_retry(context: &RequestContext, cause: Cause) {
    if let Some(metrics) = context.upstream() {
        metrics.retried(cause);
    }
}

/// Whether it is the client's turn: its body is not whole, and it does not wait
/// for a `100 Continue` that the backend has not sent.
fn owes_its_body(session: &mut Session) -> bool {
    let waits = session.req_header().headers.contains_key(http::header::EXPECT)
        && session.response_written().is_none();
    !waits && !session.is_body_done()
}
