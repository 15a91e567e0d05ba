//! 07 path-routing. One entrance, several services: each request to its pool.
//! 路径路由：一个入口，多个服务，每个请求去它该去的后端池。

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::*;
use pingora_proxy::FailToProxy;

/// What the proxy knows: the backends, and the name by which it signs.
///
/// TODO: these backends are the default pool now. Three more are wanted: for `/api`,
/// for `/static`, and for a host, with what decides between them.
/// TODO：这里的后端现在是默认池。还需要三个池：`/api` 一个、`/static` 一个、
/// 某个主机名一个，以及在它们之间做选择所需的信息。
struct LabProxy {
    backends: Arc<LoadBalancer<RoundRobin>>,
    name: String,
}

/// What one request remembers from phase to phase.
#[derive(Default)]
struct RequestContext {
    /// The backend that was chosen.
    backend: Option<String>,
    /// Those that could not be connected to.
    failed: Vec<String>,
}

#[async_trait]
impl ProxyHttp for LabProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> Self::CTX {
        RequestContext::default()
    }

    /// TODO: first choose the pool, from the host and then from the first segment of
    /// the path: `session.req_header()` has both. Decide on the path as its reader will
    /// understand it, decoded and with its dot segments resolved; change nothing in
    /// what is sent on.
    /// TODO：先选池。依次看主机名和路径的第一段，都在 `session.req_header()` 里。
    /// 判断时按读者理解的路径来：先解码，再消解点段；转发的内容一个字节也不改。
    async fn upstream_peer(
        &self,
        _session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        // Called again for each further try: a backend that has refused this
        // request is as good as down for it.
        let backend = self
            .backends
            .select_with(b"", 256, |backend, healthy| {
                healthy && !ctx.failed.contains(&backend.addr.to_string())
            })
            .ok_or_else(|| Error::explain(HTTPStatus(503), "no backend is left to try"))?;
        ctx.backend = Some(backend.addr.to_string());
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    /// No connection was made, so no backend has seen anything of the request:
    /// even a POST may go to the next one. (Once a connection is made, Pingora
    /// asks `error_while_proxy` instead, whose default repeats only what is safe, and
    /// may ask the same backend: that a pooled connection was closed says nothing
    /// against it.)
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        ctx.failed.extend(ctx.backend.take());
        error.set_retry(true);
        error
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
    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        _ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.sign(response)
    }

    /// No backend answered, so the proxy does. Pingora's own error pages pass no
    /// `response_filter`: they are built here, to carry the same headers.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let (status, reason) = status_of(error);
        if status > 0
            && let Err(error) = self.answer(session, status, reason).await
        {
            eprintln!("the error answer was not sent: {error}");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }
}

impl LabProxy {
    /// Sets the proxy's headers on an answer, whoever made it. Only the fields
    /// named here are touched: two `Set-Cookie` stay two.
    fn sign(&self, response: &mut ResponseHeader) -> Result<()> {
        response.insert_header("x-proxy", &self.name)?;
        response.insert_header("x-load-balancer", "round-robin")?;
        // Which software runs behind us is nobody's business.
        response.remove_header("server");
        Ok(())
    }

    /// Sends an answer of the proxy's own.
    async fn answer(&self, session: &mut Session, status: u16, reason: &str) -> Result<()> {
        let body = format!("{status}: {reason}\n");
        let mut response = ResponseHeader::build(status, None)?;
        response.insert_header("content-type", "text/plain; charset=utf-8")?;
        response.insert_header("content-length", body.len())?;
        self.sign(&mut response)?;
        // Does nothing where a backend's answer has begun: a page in the middle of
        // it would make a broken answer look whole. The connection ends with it,
        // since the request may not be read whole.
        session.as_downstream_mut().write_error_response(response, Bytes::from(body)).await
    }
}

/// The status for a failure, and the reason that the client is given; 0 where
/// the client is gone and none can be sent.
fn status_of(error: &Error) -> (u16, &'static str) {
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(503)) => (503, "no backend is available, try again later"),
        (_, HTTPStatus(status)) => (*status, "the proxy refused this request"),
        (ErrorSource::Upstream, _) => (502, "the backend failed before it had answered"),
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed) => (0, "client gone"),
        (ErrorSource::Downstream, _) => (400, "the request could not be read"),
        _ => (500, "the proxy failed"),
    }
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

    // TODO: the same for LAB_API_BACKENDS, LAB_STATIC_BACKENDS and LAB_ADMIN_BACKENDS
    // (127.0.0.1:6190, :6191 and :6192 if they are not set), and LAB_ADMIN_HOST
    // (admin.test). Each pool needs health checks of its own, and a service that runs them.
    // TODO：照此再建三个池：LAB_API_BACKENDS、LAB_STATIC_BACKENDS、LAB_ADMIN_BACKENDS
    // （默认 127.0.0.1:6190、:6191、:6192），并读取 LAB_ADMIN_HOST（默认 admin.test）。
    // 每个池都要有自己的健康检查，也都要有一个服务来运行它。
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
