//! Round robin by hand: one atomic counter, no load balancer, several threads.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use pingora::prelude::*;
use pingora::server::configuration::ServerConf;

/// All backends in the order of the list, and how many turns were taken.
struct InTurn {
    backends: Vec<SocketAddr>,
    taken: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> Option<SocketAddr> {
        // One step that reads and counts: no two requests get the same number.
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(self.backends.len())?;
        self.backends.get(place).copied()
    }
}

#[async_trait]
impl ProxyHttp for InTurn {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        match self.next() {
            Some(backend) => Ok(Box::new(HttpPeer::new(backend, false, String::new()))),
            None => Error::e_explain(HTTPStatus(503), "no backends at all"),
        }
    }
}

fn main() {
    let env = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_string());
    let listen = env("LAB_LISTEN", "127.0.0.1:6188");
    let list = env("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    let backends = list
        .split(',')
        .map(|item| item.trim().parse().unwrap_or_else(|error| panic!("{item}: {error}")))
        .collect();

    let conf = ServerConf { threads: 4, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = InTurn { backends, taken: AtomicUsize::new(0) };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
