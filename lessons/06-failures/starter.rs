//! 06 failures. A backend that refuses costs a try, not a request.
//! 故障：拒绝连接的后端只多费一次尝试，不会丢掉请求。

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::prelude::*;
use pingora_proxy::FailToProxy;

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

    /// TODO: this is called again for each further try. Choose (`select_with`) a
    /// backend that is not among those which have failed this request.
    /// TODO：每次重试都会再调用这里。已经让这个请求连不上的后端，
    /// 要用 `select_with` 排除掉。
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

    // TODO: write `fail_to_connect`: no connection was made, so note the backend in
    // the context as failed; the next one may be tried (`set_retry`). Which requests are safe to send again once a
    // connection was made? See `error_while_proxy` and its default.
    // TODO：实现 `fail_to_connect`：连接没有建立，在上下文里记下失败的后端，
    // 就可以换下一个（`set_retry`）。
    // 连接建立之后，哪些请求可以安全地重发？看看 `error_while_proxy` 的默认实现。

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

    /// TODO: where no backend is left, the answer is 503, with the reason in its body.
    /// TODO：没有可用的后端时应答 503，并在正文里写明原因。
    ///
    /// No backend answered, so the proxy does. Pingora's own error pages pass no
    /// `response_filter`: they are built here, to carry the same headers.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let status = status_of(error);
        if status > 0
            && let Err(error) = self.answer(session, status).await
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
    async fn answer(&self, session: &mut Session, status: u16) -> Result<()> {
        let body = format!("{status}: no backend could answer this request\n");
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

/// The status for a failure; 0 where the client is gone and none can be sent.
fn status_of(error: &Error) -> u16 {
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(status)) => *status,
        (ErrorSource::Upstream, _) => 502,
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed) => 0,
        (ErrorSource::Downstream, _) => 400,
        _ => 500,
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
