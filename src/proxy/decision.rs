//! The first look at a request: who asks for what, and what is to be done about it.

use std::num::NonZeroU16;
use std::sync::Arc;

use http::Method;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::answer::Reason;
use super::census::Census;
use super::connection::{Dialogue, Peer};
use super::context::RequestContext;
use super::route::{Action, Route};
use super::service::Proxy;
use super::{choice, fields, framing, host, request_id};

/// What is done with a request; most that were looked at are sent on.
pub(super) enum Decision {
    SendOn,
    Refuse(Reason),
    Answer(Arc<Route>),
    /// A browser asks what it may send.
    Preflight,
    /// To the same place over TLS, on this port.
    Secure(NonZeroU16),
}

impl Proxy {
    /// Finds out what is asked for and what is to be done about it.
    pub(super) fn look_at(&self, session: &mut Session, context: &mut RequestContext) -> Decision {
        context.stream = Dialogue::stream(session);
        fields::forget_case(session.req_header_mut());
        let census = Census::of(&session.req_header().headers);
        context.census = census;
        let admitted = framing::admit(session, census);
        let snapshot = self.current.load();
        // Before anything goes by them.
        snapshot.identity_fields.remove_from(session.req_header_mut());
        let request = session.req_header();
        context.request_id = request_id::of(&request.headers, census);
        context.trace = snapshot.traces.of(&request.headers, census);
        let peer = peer(session).map(|peer| peer.ip);
        context.trusted = snapshot.trusted.contains(peer);
        context.client = match context.trusted {
            true => snapshot.trusted.client(peer, &request.headers),
            false => peer,
        };
        context.route = Some(Arc::clone(&snapshot.not_found));
        let length = match admitted {
            Ok(length) => length,
            Err(reason) => return Decision::Refuse(reason),
        };
        if !is_target(request) {
            return Decision::Refuse(Reason::BadRequest);
        }
        let Ok(host) = host::of(request) else {
            return Decision::Refuse(Reason::InvalidHost);
        };
        if let Some(port) = Dialogue::of(session).and_then(|d| d.terms().redirect_to_https) {
            return Decision::Secure(port);
        }
        let chosen = match choice::choose(&snapshot.routes, request, host.as_ref()) {
            Ok(chosen) => chosen,
            Err(reason) => return Decision::Refuse(reason),
        };
        context.path = chosen.path;
        context.target = chosen.target;
        context.route = Some(Arc::clone(&chosen.route));
        if length.is_some_and(|length| length > chosen.route.body_limit()) {
            return Decision::Refuse(Reason::BodyTooLarge);
        }
        match chosen.route.action() {
            Action::Pool(_) => Decision::SendOn,
            Action::NotFound => Decision::Refuse(Reason::NoRoute),
            Action::Redirect(_) | Action::Fixed(_) => Decision::Answer(chosen.route),
        }
    }
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

/// The address at the other end of the connection.
fn peer(session: &Session) -> Option<&Peer> {
    Dialogue::of(session)?.peer()
}
