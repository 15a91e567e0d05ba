//! 03 health-checks. A backend that is down gets no requests.
//! 健康检查：宕机的后端收不到请求。

use std::sync::Arc;
use std::time::Duration;

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

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
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

    let interval: Duration = setting("LAB_HEALTH_INTERVAL_MS", "1000")
        .parse()
        .map(Duration::from_millis)
        .expect("LAB_HEALTH_INTERVAL_MS is a number of milliseconds");

    // TODO: give the balancer a `TcpHealthCheck` (`set_health_check`) and let it
    // run every `interval` (`health_check_frequency`).
    // TODO：给负载均衡器装上 `TcpHealthCheck`，并按 `interval` 的间隔反复检查。
    println!("health checks every {interval:?}: not yet");
    let backends = LoadBalancer::try_from_iter(backends.split(','))
        .expect("LAB_BACKENDS is a list of addresses: 127.0.0.1:6190,127.0.0.1:6191");

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    // TODO: nothing checks by itself: wrap the balancer in a `background_service`,
    // share it with the proxy (`task()`), and add the service to the server.
    // TODO：检查不会自己运行：用 `background_service` 包装负载均衡器，通过 `task()`
    // 与代理共享，再把这个服务加入 server。
    let lab = LabProxy { backends: Arc::new(backends) };
    let mut proxy = http_proxy_service(&server.configuration, lab);
    proxy.add_tcp(&listen);
    server.add_service(proxy);
    server.run_forever();
}
