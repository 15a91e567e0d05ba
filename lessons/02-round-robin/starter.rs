//! 02 round-robin. Requests take turns over all backends.
//! 轮询：请求依次分给所有后端。

use async_trait::async_trait;
use pingora::prelude::*;

/// What the proxy knows.
///
/// TODO: hold all backends, and whose turn it is: an `Arc<LoadBalancer<RoundRobin>>`.
/// TODO：保存所有后端以及轮到谁：`Arc<LoadBalancer<RoundRobin>>`。
struct LabProxy {
    backend: String,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // TODO: let `select(b"", 256)` choose, and answer 503 where it finds none.
        // TODO：用 `select(b"", 256)` 选择后端；一个都选不出来时应答 503。
        let peer = HttpPeer::new(&self.backend, false, String::new());
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
    // TODO: use them all: `LoadBalancer::try_from_iter` takes a list of addresses.
    // TODO：用上全部后端：`LoadBalancer::try_from_iter` 接受一组地址。
    let backend = backends.split(',').next().unwrap_or_default().to_owned();

    // Pingora starts the async runtimes itself, so `main` is not async.
    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let mut proxy = http_proxy_service(&server.configuration, LabProxy { backend });
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever();
}
