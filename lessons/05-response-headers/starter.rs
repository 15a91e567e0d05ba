//! 05 response-headers. What the client should know, and what it need not.
//! 响应头：客户端该知道的，和不必知道的。

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::prelude::*;

/// What the proxy knows: the backends, and the name by which it signs.
struct LabProxy {
    backends: Arc<LoadBalancer<RoundRobin>>,
    name: String,
}

/// What one request remembers from phase to phase.
struct RequestContext {
    /// The backend that was chosen.
    backend: Option<String>,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        RequestContext { backend: None }
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let backend = self
            .backends
            .select(b"", 256)
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no healthy backend"))?;
        ctx.backend = Some(backend.addr.to_string());
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    /// The request as the backend will get it.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        request.insert_header("x-proxy-added", &self.name)?;
        request.insert_header("x-forwarded-by", &self.name)?;
        if let Some(backend) = &ctx.backend {
            request.insert_header("host", backend)?;
        }
        match session.client_addr().and_then(|address| address.as_inet()) {
            Some(client) => request.insert_header("x-forwarded-for", ip(client))?,
            None => drop(request.remove_header("x-forwarded-for")),
        }
        Ok(())
    }

    /// The answer as the client will get it, if it comes from a backend.
    ///
    /// TODO: set `x-proxy` to the proxy's name and `x-load-balancer` to
    /// `round-robin`; take `server` away; leave everything else as it is.
    /// TODO：把 `x-proxy` 设为代理的名字，`x-load-balancer` 设为 `round-robin`；
    /// 去掉 `server`；其余一概不动。
    async fn response_filter(
        &self,
        _session: &mut Session,
        _response: &mut ResponseHeader,
        _ctx: &mut Self::CTX,
    ) -> Result<()> {
        Ok(())
    }

    // TODO: Pingora's own error pages (502, 503) do not pass `response_filter`.
    // Write `fail_to_proxy`: build the answer yourself, with the same headers and a
    // body that says why.
    // TODO：Pingora 自己生成的错误页（502、503）不经过 `response_filter`。
    // 实现 `fail_to_proxy`：自己构造应答，带上同样的头部，正文说明原因。
}

/// An address without its port.
fn ip(address: &SocketAddr) -> String {
    address.ip().to_string()
}

/// A setting from the environment, or its default.
fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() {
    let listen = setting("LAB_LISTEN", "127.0.0.1:6188");
    let backends = setting("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
    let name = setting("LAB_PROXY_NAME", "pingora-lab");
    let interval = setting("LAB_HEALTH_INTERVAL_MS", "1000")
        .parse()
        .map(Duration::from_millis)
        .expect("LAB_HEALTH_INTERVAL_MS is a number of milliseconds");

    let mut backends: LoadBalancer<RoundRobin> = LoadBalancer::try_from_iter(backends.split(','))
        .expect("LAB_BACKENDS is a list of addresses: 127.0.0.1:6190,127.0.0.1:6191");
    backends.set_health_check(TcpHealthCheck::new());
    backends.health_check_frequency = Some(interval);
    backends.parallel_health_check = true;

    let mut server = Server::new(None).expect("Pingora's default settings are valid");
    server.bootstrap();

    let health = background_service("health checks", backends);
    let backends = health.task();
    let mut proxy = http_proxy_service(&server.configuration, LabProxy { backends, name });
    proxy.add_tcp(&listen);

    let health = server.add_service(health);
    server.add_service(proxy).add_dependency(&health);
    server.run_forever();
}
