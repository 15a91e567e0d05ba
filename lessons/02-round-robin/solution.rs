//! Round robin: requests take turns over all backends.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::prelude::*;

/// What the proxy knows: the backends, and whose turn it is.
struct LabProxy {
    backends: Arc<LoadBalancer<RoundRobin>>,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    /// Called once for each request, not once for each connection of a client:
    /// the requests of one kept connection take turns as well.
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // Round robin hashes nothing, so the key is empty. 256 is how many
        // candidates may be looked at before the search is given up.
        let backend = self
            .backends
            .select(b"", 256)
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no backend to choose from"))?;
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }
}

/// A setting from the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() {
    let listen = setting("LAB_LISTEN", "127.0.0.1:6188");
    let backends = setting("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");

    // The list is fixed, so this fills the selector at once. A list that
    // changes (service discovery) needs the background service of stage 03.
    let backends = LoadBalancer::try_from_iter(backends.split(','))
        .expect("LAB_BACKENDS is a list of addresses: 127.0.0.1:6190,127.0.0.1:6191");

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let lab = LabProxy { backends: Arc::new(backends) };
    let mut proxy = http_proxy_service(&server.configuration, lab);
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever();
}
