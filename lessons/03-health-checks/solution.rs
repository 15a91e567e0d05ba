//! Health checks: a backend that is down gets no requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::prelude::*;

/// What the proxy knows: the backends, their health, and whose turn it is.
struct LabProxy {
    backends: Arc<LoadBalancer<RoundRobin>>,
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
        // `select` skips backends that are down; `None` means that all are.
        let backend = self
            .backends
            .select(b"", 256)
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no healthy backend"))?;
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
    let interval = setting("LAB_HEALTH_INTERVAL_MS", "1000")
        .parse()
        .map(Duration::from_millis)
        .expect("LAB_HEALTH_INTERVAL_MS is a number of milliseconds");

    let mut backends: LoadBalancer<RoundRobin> = LoadBalancer::try_from_iter(backends.split(','))
        .expect("LAB_BACKENDS is a list of addresses: 127.0.0.1:6190,127.0.0.1:6191");
    // Each check opens a TCP connection and closes it. Without a frequency
    // there would be one check at the start and never another.
    backends.set_health_check(TcpHealthCheck::new());
    backends.health_check_frequency = Some(interval);
    // One backend that does not answer must not hold up the checks of the rest.
    backends.parallel_health_check = true;

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    // The checks run in a service of their own, which shares the balancer.
    let health = background_service("health checks", backends);
    let backends = health.task();
    let mut proxy = http_proxy_service(&server.configuration, LabProxy { backends });
    proxy.add_tcp(&listen);

    let health = server.add_service(health);
    // No request before the service has begun.
    server.add_service(proxy).add_dependency(&health);
    server.run_forever();
}
