//! Between the accept of a connection and its first request.
//!
//! Pingora accepts plain TCP. The [`Door`] counts the connection, speaks TLS where
//! the listener does, sees which HTTP is spoken, and hands a
//! [`Connection`] to the proxy. Pingora's own TLS listener would give handshakes a
//! minute each, and would end the process over a certificate that it cannot read.

use std::future::{Future, pending, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use super::connections::{Connections, Full};
use super::departure::Departure;
use super::tls;
use crate::config::{Config, Limits, Listener, ListenerTls};
use crate::proxy::Proxy;
use crate::proxy::answer::Reason;
use crate::proxy::connection::{Connection, Dialogue, Terms, refusal};
use crate::proxy::forwarded::TrustedProxies;
use crate::proxy::pem::TlsError;
use crate::proxy::witness::Witness;

/// How long a client that is turned away may take for the answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// The size of a connection's read buffer. Pingora's own 64 KiB would be most of the
/// memory of an idle connection; large reads pass the buffer by in any case.
pub const READ_BUFFER: usize = 4 * 1024;

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

/// What Pingora hands the connections of one listener to.
pub struct Door {
    entrance: Arc<Entrance>,
    connections: Connections,
    departure: Departure,
    proxy: Arc<HttpProxy<Proxy>>,
    witness: Witness,
}

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
    /// The door of one listener.
    pub fn new(
        entrance: Arc<Entrance>,
        connections: Connections,
        departure: Departure,
        proxy: Arc<HttpProxy<Proxy>>,
        witness: Witness,
    ) -> Self {
        Self { entrance, connections, departure, proxy, witness }
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let rules = self.entrance.0.load_full();
        let limits = &rules.terms.limits;
        // What is over before the first request, or seldom happens, is in boxes of its
        // own: whatever has a place in this future takes memory as long as the
        // connection is there.
        let address = address(&stream).filter(|address| !rules.exempt.contains(Some(*address)));
        let _place = match self.connections.enter(address, limits) {
            Ok(place) => place,
            Err(full) => {
                Box::pin(turn_away(stream, full, rules.terms.tls)).await;
                return None;
            }
        };
        let stream = match &rules.tls {
            None => stream,
            Some(config) => {
                let handshake = handshake(stream, Arc::clone(config));
                let handshake = timeout(limits.handshake_timeout.get(), handshake);
                let result = Box::pin(handshake).await;
                let Ok(Some(stream)) = result else {
                    self.connections.handshake_failed(result.is_ok());
                    return None;
                };
                stream
            }
        };
        let connection = Connection::new(stream, Arc::clone(&rules.terms), self.witness.clone());
        let mut connection = Box::new(connection.ok()?);
        let mut closing = self.departure.closing();
        let multiplexed = tokio::select! {
            biased;
            multiplexed = connection.speaks_http2() => multiplexed?,
            _ = closing.wait_for(|closing| *closing) => return None,
        };
        let dialogue = Arc::clone(connection.dialogue());
        if multiplexed {
            let retiring = dialogue.multiplex();
            let serve = self.proxy.process_new(connection, &retiring);
            let mut leaving = shutdown.clone();
            let retire = async {
                let _ = leaving.wait_for(|leaving| *leaving).await;
                dialogue.retire();
                pending().await
            };
            tokio::select! {
                biased;
                rest = until_over(&dialogue, serve) => rest,
                rest = retire => rest,
            }
        } else {
            until_over(&dialogue, take_turns(&self.proxy, connection, shutdown)).await
        }
    }

    async fn cleanup(&self) {
        self.departure.last_call(&self.connections).await;
        ServerApp::cleanup(&*self.proxy).await;
    }
}

/// Serves the requests of a connection of HTTP/1, one after the other. Pingora would give
/// each read of the first header a minute; the connection knows better how long may be
/// waited for what.
async fn take_turns(
    proxy: &Arc<HttpProxy<Proxy>>,
    connection: Stream,
    shutdown: &ShutdownWatch,
) -> Option<Stream> {
    let mut session = ServerSession::new_http1(connection);
    session.set_read_timeout(None);
    let leaving = *shutdown.borrow();
    // 0 is no limit.
    session.set_keepalive((!leaving).then_some(0));
    while let Some(reused) = proxy.process_new_http(session, shutdown).await {
        let (stream, settings) = reused.consume();
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
    None
}

/// Serves a connection until nothing more will come of it.
async fn until_over(
    dialogue: &Dialogue,
    serve: impl Future<Output = Option<Stream>>,
) -> Option<Stream> {
    let mut serve = pin!(serve);
    poll_fn(|cx| match serve.as_mut().poll(cx) {
        Poll::Pending if dialogue.is_over() => Poll::Ready(None),
        result => result,
    })
    .await
}

async fn handshake(stream: Stream, config: Arc<ServerConfig>) -> Option<Stream> {
    let tcp = stream.into_any().downcast::<TcpStream>().ok()?;
    match Acceptor::from_server_config(config).tls_handshake(*tcp).await {
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
async fn turn_away(mut stream: Stream, full: Full, tls: bool) {
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

fn address(stream: &Stream) -> Option<IpAddr> {
    let digest = stream.get_socket_digest()?;
    let address = digest.peer_addr()?.as_inet()?;
    Some(address.ip().to_canonical())
}
