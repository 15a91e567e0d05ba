//! The answers that the proxy gives itself: how they are made up and sent.

use std::num::NonZeroU16;
use std::time::Instant;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, StatusCode};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::answer::{self, Answer, Reason};
use super::connection::Dialogue;
use super::context::RequestContext;
use super::decision::Decision;
use super::host::{self, Host};
use super::route::{Action, Place, Redirect, Route};
use super::service::{Proxy, facts, hsts};
use crate::config::Scheme;

impl Proxy {
    /// Does what was decided, where that is not to send the request on.
    pub(super) async fn carry_out(
        &self,
        decision: Decision,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<()> {
        match decision {
            Decision::SendOn => Ok(()),
            Decision::Refuse(reason) => self.refuse(session, reason, context).await,
            Decision::Answer(route) => self.answer(session, &route, context).await,
            Decision::Preflight => self.answer_preflight(session, context).await,
            Decision::Secure(port) => self.send_to_https(session, port, context).await,
        }
    }

    /// The proxy answers by itself.
    pub(super) async fn refuse(
        &self,
        session: &mut Session,
        reason: Reason,
        context: &mut RequestContext,
    ) -> Result<()> {
        context.failure = Some(reason);
        let answer = {
            let facts = facts(session, context);
            let route = self.route(context);
            answer::compose(reason, session.req_header(), &route.response_rules, &facts)?
        };
        self.send(session, answer, context).await
    }

    /// A route answers by itself.
    async fn answer(
        &self,
        session: &mut Session,
        route: &Route,
        context: &mut RequestContext,
    ) -> Result<()> {
        let answer = {
            let facts = facts(session, context);
            let rules = &route.response_rules;
            match route.action() {
                Action::Fixed(fixed) => {
                    Some(answer::fixed(fixed, session.req_header(), rules, &facts)?)
                }
                Action::Redirect(redirect) => match location(redirect, session, context) {
                    Some(to) => Some(answer::redirect(redirect.status, to, rules, &facts)?),
                    None => None,
                },
                Action::Pool(_) | Action::NotFound => None,
            }
        };
        match answer {
            Some(answer) => self.send(session, answer, context).await,
            // HTTP/1.0 without a Host, where the location needs one.
            None => self.refuse(session, Reason::InvalidHost, context).await,
        }
    }

    /// A policy of the route tells a browser what it may send.
    async fn answer_preflight(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<()> {
        let answer = {
            let facts = facts(session, context);
            answer::preflight(&self.route(context).response_rules, &facts)?
        };
        self.send(session, answer, context).await
    }

    /// The listener takes no requests but to say where they belong (RFC 9110,
    /// section 15.4.9: 308 keeps the method).
    async fn send_to_https(
        &self,
        session: &mut Session,
        port: NonZeroU16,
        context: &mut RequestContext,
    ) -> Result<()> {
        let answer = match secure_location(session.req_header(), port) {
            Some(to) => {
                let facts = facts(session, context);
                let rules = &self.route(context).response_rules;
                Some(answer::redirect(StatusCode::PERMANENT_REDIRECT, to, rules, &facts)?)
            }
            None => None,
        };
        match answer {
            Some(answer) => self.send(session, answer, context).await,
            // HTTP/1.0 without a Host does not say where it belongs.
            None => self.refuse(session, Reason::InvalidHost, context).await,
        }
    }

    async fn send(
        &self,
        session: &mut Session,
        mut answer: Answer,
        context: &mut RequestContext,
    ) -> Result<()> {
        if let Some(hsts) = hsts(session)
            && !answer.header_mut().headers.contains_key(STRICT_TRANSPORT_SECURITY)
        {
            answer.header_mut().insert_header(STRICT_TRANSPORT_SECURITY, hsts)?;
        }
        for (name, value) in &context.answer_fields {
            answer.header_mut().append_header(name.clone(), value.clone())?;
        }
        if let Some(policies) = &self.route(context).policies {
            policies.speak(session.req_header(), answer.header_mut())?;
        }
        answer.send(session).await?;
        context.answered = Some(Instant::now());
        answer::linger(session).await;
        Ok(())
    }
}

/// The same place as the request asks for, by `https`.
fn secure_location(request: &RequestHeader, port: NonZeroU16) -> Option<HeaderValue> {
    let host = host::of(request).ok().flatten()?;
    let name = host.name();
    let target = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let port = if port.get() == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{name}{port}{target}")).ok()
}

/// Where a redirect sends the client, if it can be said.
fn location(
    redirect: &Redirect,
    session: &Session,
    context: &RequestContext,
) -> Option<HeaderValue> {
    let request = session.req_header();
    let host = host::of(request).ok().flatten();
    let asked = request.uri.path_and_query().map_or("/", |path| path.as_str());
    redirect.location(&Place {
        scheme: if Dialogue::is_secure(session) { Scheme::Https } else { Scheme::Http },
        host: host.as_ref().map(Host::name),
        port: host.as_ref().and_then(Host::port),
        path_and_query: context.path.as_deref().unwrap_or(asked),
        query: request.uri.query(),
    })
}
