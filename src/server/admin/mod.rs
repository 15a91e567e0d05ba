//! The admin listener: how the load balancer is looked after while it runs.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `gate` | who may ask at all |
//! | `pages` | what can be asked |
//! | `status` | what `/status` says |
//! | `refusal` | answers that are errors |
//! | `desk` | what is known of the running process, for whoever asks |
//!
//! It has a thread, a socket and limits of its own, so that it answers while the
//! load balancer is overloaded, and while it drains.

mod desk;
mod gate;
mod pages;
mod refusal;
mod status;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::debug;

pub use desk::{Call, Desk, Running};
pub use gate::Gate;

use super::listener::Sockets;

/// How many connections there may be; others wait until one ends.
const CONNECTIONS: usize = 64;

/// How long a client may take for the header of a request, and be idle.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may be used, and then how long its last answer may take.
const USE: Duration = Duration::from_secs(60);

/// How long is waited where no connection can be accepted, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// An admin listener that answers until it is dropped.
pub struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Admin ===

impl Admin {
    /// Begins to answer on the one socket that was bound.
    ///
    /// # Errors
    ///
    /// The system has no more threads or descriptors to give.
    pub fn start(socket: Sockets, gate: Arc<Gate>, desk: Arc<Desk>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets = {
            let _inside = runtime.enter();
            socket
                .into_std()
                .into_iter()
                .map(TcpListener::from_std)
                .collect::<Result<Vec<_>, _>>()?
        };
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                for socket in sockets {
                    tokio::spawn(accept(
                        socket,
                        Arc::clone(&gate),
                        pages::router(Arc::clone(&desk)),
                    ));
                }
                // Either outcome is the word to stop.
                let _ = stopped.await;
            });
        };
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error is a panic in the thread, which has been printed.
            let _ = thread.join();
        }
    }
}

async fn accept(socket: TcpListener, gate: Arc<Gate>, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, peer)) => {
                let (gate, router) = (Arc::clone(&gate), router.clone());
                tokio::spawn(async move {
                    serve(stream, peer, gate, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(target: "admin", %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, gate: Arc<Gate>, router: Router) {
    let Ok(own) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let pages = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let admitted = gate.admit(&request, own.ip());
        let pages = pages.clone();
        async move {
            match admitted {
                Ok(()) => pages.call(request.map(Body::new)).await,
                Err(refusal) => Ok::<_, Infallible>(refusal.into()),
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Ok(ended),
        () = tokio::time::sleep(USE) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(USE, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        debug!(target: "admin", %peer, %error, "a connection ended early");
    }
}
