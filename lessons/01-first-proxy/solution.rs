//! A first proxy: every request goes to one backend, unchanged.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::prelude::*;

/// What the proxy knows: the one backend behind it.
struct FirstProxy {
    backend: SocketAddr,
}

#[async_trait]
impl ProxyHttp for FirstProxy {
    /// Nothing has to be remembered from one phase of a request to the next.
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    /// The one phase that every proxy must write: where does this request go?
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // Plain HTTP: no TLS, so there is no server name (SNI) either.
        let peer = HttpPeer::new(self.backend, false, String::new());
        Ok(Box::new(peer))
    }
}

/// A setting from the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() {
    let listen = setting("LAB_LISTEN", "127.0.0.1:6188");
    let backends = setting("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    // This stage uses the first backend of the list only. What can be wrong with
    // it is found here, and not while a client waits.
    let backend = backends
        .split(',')
        .next()
        .and_then(|address| address.parse().ok())
        .expect("LAB_BACKENDS begins with an address, such as 127.0.0.1:6190");

    // Pingora starts the async runtimes itself, so `main` is not async.
    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let mut proxy = http_proxy_service(&server.configuration, FirstProxy { backend });
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever();
}
