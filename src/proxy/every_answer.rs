//! What the proxy says in every answer, a backend's or its own, in one order.

use http::header::STRICT_TRANSPORT_SECURITY;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::connection::Dialogue;
use super::context::RequestContext;
use super::fields::{self, Message};
use super::route::Route;
use super::service::facts;

/// Says first what the listener promises (HSTS, which only TLS does), then what the
/// policies had to say of this request, then what the header rules want, which can
/// change all of that, and last CORS, whose fields mean something together only.
///
/// # Errors
///
/// There are too many fields.
pub(super) fn complete(
    answer: &mut ResponseHeader,
    route: &Route,
    session: &Session,
    context: &RequestContext,
) -> Result<()> {
    answer.change(|fields| {
        let promise = Dialogue::of(session).and_then(|dialogue| dialogue.terms().hsts.clone());
        if let Some(promise) = promise {
            fields::set(fields, STRICT_TRANSPORT_SECURITY, promise)?;
        }
        for (name, value) in &context.answer_fields {
            fields::add(fields, name.clone(), value.clone())?;
        }
        route.response_rules.apply(fields, &facts(session, context))
    })?;
    match &route.policies {
        Some(policies) => policies.speak(session.req_header(), answer),
        None => Ok(()),
    }
}
