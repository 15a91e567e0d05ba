//! The answers that the proxy gives itself: how they are made up and sent.

use std::time::Instant;

use http::HeaderValue;
use pingora::Result;
use pingora_proxy::Session;

use super::answer::{self, Answer, Reason};
use super::connection::Dialogue;
use super::context::RequestContext;
use super::decision::Decision;
use super::every_answer;
use super::host::{self, Host};
use super::route::{Action, Place, Redirect, Route};
use super::service::Proxy;
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
            Decision::Preflight => self.send(session, answer::preflight()?, context).await,
            Decision::Secure(port) => {
                self.redirect(session, &Redirect::to_https(port), context).await
            }
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
        let answer = answer::compose(reason, session.req_header(), &context.request_id)?;
        self.send(session, answer, context).await
    }

    /// A route answers by itself.
    async fn answer(
        &self,
        session: &mut Session,
        route: &Route,
        context: &mut RequestContext,
    ) -> Result<()> {
        match route.action() {
            Action::Fixed(fixed) => {
                let answer = answer::fixed(fixed, session.req_header())?;
                self.send(session, answer, context).await
            }
            Action::Redirect(redirect) => self.redirect(session, redirect, context).await,
            Action::Pool(_) | Action::NotFound => {
                self.refuse(session, Reason::Internal, context).await
            }
        }
    }

    /// The client is sent to another place.
    async fn redirect(
        &self,
        session: &mut Session,
        redirect: &Redirect,
        context: &mut RequestContext,
    ) -> Result<()> {
        match location(redirect, session, context) {
            Some(to) => {
                let answer = answer::redirect(redirect.status, to)?;
                self.send(session, answer, context).await
            }
            // HTTP/1.0 without a Host, where the location needs one.
            None => self.refuse(session, Reason::InvalidHost, context).await,
        }
    }

    async fn send(
        &self,
        session: &mut Session,
        mut answer: Answer,
        context: &mut RequestContext,
    ) -> Result<()> {
        every_answer::complete(answer.header_mut(), &self.route(context), session, context)?;
        answer.send(session).await?;
        context.answered = Some(Instant::now());
        answer::linger(session).await;
        Ok(())
    }
}

/// Where a redirect sends the client, if it can be said.
fn location(
    redirect: &Redirect,
    session: &Session,
    context: &RequestContext,
) -> Option<HeaderValue> {
    let request = session.req_header();
    let host = host::of(request).ok().flatten();
    // `OPTIONS *` asks for the server itself, which is no path of another place.
    let asked = request.uri.path_and_query().map(|path| path.as_str()).filter(|path| *path != "*");
    redirect.location(&Place {
        scheme: if Dialogue::is_secure(session) { Scheme::Https } else { Scheme::Http },
        host: host.as_ref().map(Host::name),
        port: host.as_ref().and_then(Host::port),
        path_and_query: context.path.as_deref().or(asked).unwrap_or("/"),
        query: request.uri.query(),
    })
}
