//! Between the accept of a connection and its requests.
//!
//! The [`Door`] counts the connection, speaks TLS where the listener does, sees which
//! HTTP is spoken, and hands a [`Connection`] to the proxy when a request comes.
//! Pingora's own TLS listener would give handshakes a minute each, and would end the
//! process over a certificate that it cannot read; and its own way with a connection
//! keeps all that a request needs, some 30 KB, while the client is idle.

use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{
    HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp,
};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::tls::TlsStream;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use super::connections::{Connections, Full};
use super::departure::Departure;
use super::tls;
use crate::config::{Config, Limits, Listener, ListenerTls};
use crate::proxy::Proxy;
use crate::proxy::answer::Reason;
use crate::proxy::connection::{Connection, Dialogue, Socket, Terms, Timer, Wire, refusal};
use crate::proxy::forwarded::TrustedProxies;
use crate::proxy::pem::TlsError;
use crate::proxy::wait::Watched;
use crate::proxy::witness::Witness;

/// How long a client that is turned away may take for the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// How Pingora serves connections.
pub fn server_options(limits: &Limits) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    // Pingora would answer CONNECT by itself, past the rules and the log.
    options.allow_connect_method_proxying = true;
    // The connection says whether it is, listener by listener.
    options.h2c = true;
    options.h2_idle_timeout = Some(limits.http2_idle_timeout.get());
    options
}

/// How Pingora speaks HTTP/2.
pub fn http2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options.max_header_list_size(limits.header_size.get().try_into().unwrap_or(u32::MAX));
    options.max_concurrent_streams(limits.http2_streams.get());
    // Streams that the client has reset before they were looked at (CVE-2023-44487).
    options.max_pending_accept_reset_streams(limits.http2_resets.get() as usize);
    options
}

/// What holds for the clients of one listener now. It is swapped whole, and a
/// connection keeps what it was accepted with.
pub struct Entrance(ArcSwap<Rules>);

/// All that is known of a listener, read and checked.
pub struct Rules {
    terms: Arc<Terms>,
    tls: Option<Arc<ServerConfig>>,
    /// Peers that bring the connections of many clients.
    exempt: TrustedProxies,
}

/// What the connections of one listener are handed to.
pub struct Door {
    pub(super) entrance: Arc<Entrance>,
    pub(super) connections: Connections,
    pub(super) departure: Departure,
    pub(super) proxy: Arc<Served>,
    pub(super) witness: Witness,
    /// Turns true when no more connections are accepted.
    pub(super) shutting_down: ShutdownWatch,
}

/// The proxy, each of whose requests is watched while it waits for a backend.
pub struct Served(pub Arc<HttpProxy<Proxy>>);

// === impl Rules ===

impl Rules {
    /// Reads the certificates of a listener of this configuration.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn load(listener: &Listener, config: &Config) -> Result<Self, TlsError> {
        let load = |tls: &ListenerTls| tls::load(listener, tls);
        Ok(Self {
            terms: Arc::new(Terms::new(listener, &config.limits)),
            tls: listener.tls.as_ref().map(load).transpose()?,
            exempt: TrustedProxies::new(
                config.trusted_proxies.iter().map(|network| network.plain()),
            ),
        })
    }
}

// === impl Entrance ===

impl Entrance {
    /// A listener's entrance.
    pub fn new(rules: Rules) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    /// Has other rules from now on, for connections that are accepted from now on.
    pub fn swap(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }
}

// === impl Door ===

impl Door {
    /// Serves a connection to its end.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let rules = self.entrance.0.load_full();
        let limits = &rules.terms.limits;
        // What is over before the first request, or seldom happens, is in boxes of its
        // own: whatever has a place in this future takes memory as long as the
        // connection is there.
        let address = Some(peer.ip().to_canonical());
        let address = address.filter(|_| !rules.exempt.contains(address));
        let _place = match self.connections.enter(address, limits) {
            Ok(place) => place,
            Err(full) => return Box::pin(turn_away(stream, full, rules.terms.tls)).await,
        };
        let socket = Socket::new(stream, peer, rules.terms.tls);
        let wire = match &rules.tls {
            None => Wire::Plain(socket),
            Some(config) => {
                let handshake = handshake(socket, Arc::clone(config));
                let handshake = timeout(limits.handshake_timeout.get(), handshake);
                // It holds the socket of a client who was too slow until that is
                // counted: whoever was put out may ask for the count at once.
                let mut handshake = Box::pin(handshake);
                let result = handshake.as_mut().await;
                let Ok(Some(stream)) = result else {
                    return self.connections.handshake_failed(result.is_ok());
                };
                Wire::Secure(stream)
            }
        };
        let connection = Connection::new(wire, Arc::clone(&rules.terms), self.witness.clone());
        let Ok(connection) = connection else { return };
        let mut connection = Box::new(connection);
        let dialogue = Arc::clone(connection.dialogue());
        // One for all requests: to begin to listen takes a lock.
        let mut closing = pin!(self.departure.closing());
        let serve = async {
            match unless(closing.as_mut(), connection.speaks_http2()).await {
                Some(true) => Box::pin(self.multiplex(connection)).await,
                Some(false) => self.take_turns(connection, closing).await,
                None => {}
            }
        };
        until_over(&dialogue, serve).await;
    }

    /// Serves HTTP/1, one request after the other. What a request needs is there from
    /// its first byte to the end of its answer, and not while the client is idle.
    async fn take_turns(
        &self,
        mut connection: Box<Connection>,
        mut closing: Pin<&mut impl Future<Output = ()>>,
    ) {
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut timer = Timer::default();
        while unless(closing.as_mut(), connection.has_more()).await.is_some() {
            let mut session = ServerSession::new_http1(connection);
            match settings {
                // Pingora would give each read of the first header a minute; the
                // connection knows better how long may be waited for what. 0 is no limit.
                None => {
                    let leaving = *self.shutting_down.borrow();
                    session.set_read_timeout(None);
                    session.set_keepalive((!leaving).then_some(0));
                }
                Some(settings) => settings.apply_to_session(&mut session),
            }
            let request = self.proxy.0.process_new_http(session, &self.shutting_down);
            let reused = Watched::new(request, &mut timer).await;
            let Some((stream, kept)) = reused.map(ReusedHttpStream::consume) else { return };
            let Ok(same) = stream.into_any().downcast() else { return };
            (connection, settings) = (same, kept);
        }
    }

    /// Serves HTTP/2.
    async fn multiplex(&self, connection: Box<Connection>) {
        let dialogue = Arc::clone(connection.dialogue());
        let retiring = dialogue.multiplex();
        let mut leaving = self.shutting_down.clone();
        let retire = async {
            let _ = leaving.wait_for(|leaving| *leaving).await;
            dialogue.retire();
            pending().await
        };
        tokio::select! {
            biased;
            _ = self.proxy.process_new(connection, &retiring) => {}
            () = retire => {}
            () = outstays(&dialogue, retiring.clone()) => {}
        }
    }

    /// No connection will come any more: closes those that have no request.
    pub async fn close(&self) {
        self.departure.last_call(&self.connections).await;
        self.proxy.http_cleanup().await;
    }
}

// === impl Served ===

#[async_trait]
impl HttpServerApp for Served {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut timer = Timer::default();
        Watched::new(self.0.process_new_http(session, shutdown), &mut timer).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}

/// `None` if connections without a request are closed first.
async fn unless<T>(
    closing: Pin<&mut impl Future<Output = ()>>,
    waiting: impl Future<Output = Option<T>>,
) -> Option<T> {
    tokio::select! {
        biased;
        result = waiting => result,
        () = closing => None,
    }
}

/// Waits until an HTTP/2 client that was told to leave has had no request for as long as
/// a connection may be idle: one that does not answer the PING behind the GOAWAY would
/// be waited for without end.
async fn outstays(dialogue: &Dialogue, mut retiring: watch::Receiver<bool>) {
    let _ = retiring.wait_for(|retiring| *retiring).await;
    loop {
        let before = dialogue.begun_and_open();
        tokio::time::sleep(dialogue.terms().limits.http2_idle_timeout.get()).await;
        if before.1 == 0 && dialogue.begun_and_open() == before {
            return;
        }
    }
}

/// Serves a connection until nothing more will come of it.
async fn until_over(dialogue: &Dialogue, serve: impl Future<Output = ()>) {
    let mut serve = pin!(serve);
    poll_fn(|cx| match serve.as_mut().poll(cx) {
        Poll::Pending if dialogue.is_over() => Poll::Ready(()),
        result => result,
    })
    .await
}

async fn handshake(socket: Socket, config: Arc<ServerConfig>) -> Option<Box<TlsStream<Socket>>> {
    match Acceptor::from_server_config(config).tls_handshake(socket).await {
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            // Whoever scans the port can cause any number of these.
            debug!(target: "tls", %error, "a TLS handshake failed");
            None
        }
    }
}

/// Without TLS a client is told why. With it, the handshake would cost more than
/// what is being saved.
async fn turn_away(mut stream: TcpStream, full: Full, tls: bool) {
    debug!(target: "server", ?full, "a connection was turned away");
    if tls {
        return;
    }
    let answer = refusal(Reason::TooManyConnections);
    let _ = timeout(FAREWELL, async {
        stream.write_all(&answer).await?;
        AsyncWriteExt::shutdown(&mut stream).await
    })
    .await;
}
