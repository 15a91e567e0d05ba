//! The one line that is left of a request.
//!
//! It is written by hand into memory that the thread keeps, and appended to a
//! [`Queue`] that a thread of the server's empties: a request neither waits for the
//! place that lines go to nor pays for it. The path is logged without its query, which
//! may hold what no log should; of the header fields only `Host` is logged. A request
//! that is refused before its header has been understood leaves a line without them.

mod clock;
mod escape;
mod line;
mod queue;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Version;
use pingora_proxy::Session;

use super::answer::Reason;
use super::auth::denial::Denial;
use super::context::RequestContext;
use super::outcome::Outcome;
use clock::Clock;

pub use line::{Form, Line};
pub use queue::{Next, Queue};

/// A line longer than this does not keep its memory: its path was as long as a header
/// may be.
const KEPT: usize = 16 * 1024;

/// The access log, as far as requests see it.
#[derive(Clone)]
pub struct AccessLog {
    form: Form,
    queue: Arc<Queue>,
}

/// What a thread keeps from line to line.
struct Desk {
    clock: Clock,
    line: Vec<u8>,
}

thread_local! {
    static DESK: RefCell<Desk> =
        const { RefCell::new(Desk { clock: Clock::new(), line: Vec::new() }) };
}

// === impl AccessLog ===

impl AccessLog {
    /// Lines of this form, on their way through this queue.
    pub fn new(form: Form, queue: Arc<Queue>) -> Self {
        Self { form, queue }
    }

    /// How many lines were lost so far.
    pub fn lost(&self) -> u64 {
        self.queue.lost()
    }

    /// Writes the line of a request that has ended.
    pub fn write(&self, session: &Session, outcome: &Outcome, context: &RequestContext) {
        self.push(&line(session, outcome, context));
    }

    /// Writes the line of a request of which no more is known than that it was refused:
    /// its header never became whole, or is none. It began so long ago.
    pub fn write_unread(&self, client: Option<SocketAddr>, reason: Reason, duration: Duration) {
        self.push(&Line {
            status: reason.status().as_u16(),
            duration,
            client,
            reason: Some(reason.id()),
            ..Line::UNKNOWN
        });
    }

    /// Writes the line of a request that has ended without its session: of what it asked
    /// for nothing is known any more.
    pub fn write_broken_off(&self, outcome: &Outcome, context: &RequestContext) {
        let id = context.request_id.as_bytes();
        self.push(&Line {
            status: outcome.status,
            duration: outcome.took,
            request_id: if id.is_empty() { b"-" } else { id },
            reason: outcome.reason.map(Reason::id),
            ..of_context(context)
        });
    }

    fn push(&self, line: &Line<'_>) {
        DESK.with_borrow_mut(|Desk { clock, line: text }| {
            text.clear();
            line.write(text, clock.now(), self.form);
            self.queue.push(text);
            text.shrink_to(KEPT);
        });
    }
}

/// What there is to say of a request that has ended.
fn line<'a>(session: &'a Session, outcome: &Outcome, context: &'a RequestContext) -> Line<'a> {
    let request = session.req_header();
    let host = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| Some(request.headers.get(http::header::HOST)?.as_bytes()));
    let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
    Line {
        method: request.method.as_str(),
        host: host.unwrap_or(b"-"),
        path: request.uri.path().as_bytes(),
        status: outcome.status,
        duration: outcome.took,
        bytes: session.body_bytes_sent(),
        bytes_in: session.body_bytes_read(),
        protocol: protocol(request.version),
        tls: tls.map(|tls| &*tls.version),
        client: session.client_addr().and_then(|client| client.as_inet()).copied(),
        request_id: context.request_id.as_bytes(),
        reason: outcome.reason.map(Reason::id),
        ..of_context(context)
    }
}

/// What the context of a request says of it.
fn of_context(context: &RequestContext) -> Line<'_> {
    Line {
        route: context.route.as_ref().map_or("-", |route| route.name()),
        backend: context.endpoint().map_or("-", |e| e.identity.label.as_str()),
        attempts: context.attempts,
        upstream: context.upstream_time,
        user: context.identity.as_ref().map(|identity| identity.user().as_bytes()),
        denial: context.denial.map(Denial::word),
        trace_id: context.trace.as_ref().map(super::trace::Trace::id),
        ..Line::UNKNOWN
    }
}

/// How a version of HTTP is called.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
