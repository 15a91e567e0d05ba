//! What header rules can say of a request that is found only when a rule asks for it.

use bytes::Bytes;
use http::HeaderValue;
use pingora_proxy::Session;

use super::connection::{ClientCertificate, Dialogue};
use super::context::RequestContext;
use super::trace::Trace;
use crate::config::Variable;

/// The value of a variable; `None` if it is not known, or the variable is one of those
/// that [`Facts`](super::headers::Facts) holds.
pub fn value(
    variable: Variable,
    session: &Session,
    context: &RequestContext,
) -> Option<HeaderValue> {
    let request = session.req_header();
    match variable {
        Variable::ClientPort => {
            session.client_addr()?.as_inet().map(|client| HeaderValue::from(client.port()))
        }
        Variable::ServerPort => {
            session.server_addr()?.as_inet().map(|server| HeaderValue::from(server.port()))
        }
        Variable::Scheme => Some(HeaderValue::from_static(if Dialogue::is_secure(session) {
            "https"
        } else {
            "http"
        })),
        Variable::Method => copy(request.method.as_str().as_bytes()),
        Variable::Path => copy(request.uri.path().as_bytes()),
        Variable::Query => copy(request.uri.query()?.as_bytes()),
        Variable::Protocol => {
            Some(HeaderValue::from_static(super::access_log::protocol(request.version)))
        }
        Variable::Route => copy(context.route.as_ref()?.name().as_bytes()),
        Variable::Pool => copy(context.route.as_ref()?.pool()?.name().as_bytes()),
        Variable::UpstreamAddress => {
            shared(context.ticket.as_ref()?.address().to_string().into_bytes())
        }
        Variable::User => context.identity.as_ref().map(|who| who.user().clone()),
        Variable::Attempts => Some(HeaderValue::from(context.attempts)),
        Variable::TraceId => copy(context.trace.as_ref().map(Trace::id)?),
        Variable::ClientCertVerified => {
            let verified = certificate(session).is_some();
            Some(HeaderValue::from_static(if verified { "true" } else { "false" }))
        }
        Variable::ClientCertSubject => certificate(session)?.subject.clone(),
        Variable::ClientCertFingerprint => Some(certificate(session)?.fingerprint.clone()),
        Variable::Time => shared(format!("{:.3}", jiff::Timestamp::now()).into_bytes()),
        Variable::RequestId
        | Variable::ClientIp
        | Variable::Backend
        | Variable::Host
        | Variable::ForwardedFor
        | Variable::ForwardedProto
        | Variable::ForwardedHost => None,
    }
}

/// The certificate that the client has shown.
fn certificate(session: &Session) -> Option<&ClientCertificate> {
    Dialogue::of(session)?.client_certificate()
}

fn copy(bytes: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(bytes).ok()
}

fn shared(bytes: Vec<u8>) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(bytes)).ok()
}
