//! More than this stage needs, and right: a request that may be carried out twice
//! (GET, HEAD, ...) also goes to another backend when one fails after the
//! connection stood. The rule of what may be sent again has a module of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::prelude::*;
use pingora_load_balancing::{Backend, Backends, discovery::Static};
use pingora_proxy::FailToProxy;

mod rule {
    use pingora::http::RequestHeader;

    /// What is known when an exchange with a backend has failed.
    pub enum Failed {
        /// There was no connection: nothing was sent.
        BeforeConnecting,
        /// Some of the request may have arrived.
        AfterConnecting { body_is_kept: bool, answered: bool },
    }

    pub fn may_be_sent_again(request: &RequestHeader, failed: &Failed) -> bool {
        match failed {
            Failed::BeforeConnecting => true,
            Failed::AfterConnecting { body_is_kept, answered } => {
                request.method.is_idempotent() && *body_is_kept && !answered
            }
        }
    }
}

use rule::{Failed, may_be_sent_again};

struct Proxy {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    name: String,
}

struct Ctx {
    backend: Option<Backend>,
    failed: Vec<Backend>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx { backend: None, failed: Vec::with_capacity(3) }
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let usable = |backend: &Backend, up: bool| up && !ctx.failed.contains(backend);
        let backend = self.balancer.select_with(b"", 64, usable);
        let backend = backend.or_err(HTTPStatus(503), "nobody is left")?;
        let mut peer = HttpPeer::new(backend.addr.clone(), false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        ctx.backend = Some(backend);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut e: Box<Error>,
    ) -> Box<Error> {
        ctx.failed.extend(ctx.backend.take());
        e.set_retry(may_be_sent_again(session.req_header(), &Failed::BeforeConnecting));
        e
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        ctx: &mut Ctx,
        connection_reused: bool,
    ) -> Box<Error> {
        // A pooled connection that was closed says nothing against the backend.
        if !connection_reused {
            ctx.failed.extend(ctx.backend.take());
        }
        let failed = Failed::AfterConnecting {
            body_is_kept: !session.as_ref().retry_buffer_truncated(),
            answered: session.response_written().is_some(),
        };
        let upstream = *e.esource() == ErrorSource::Upstream;
        e.set_retry(upstream && may_be_sent_again(session.req_header(), &failed));
        e
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        for name in ["x-proxy-added", "x-forwarded-by"] {
            request.insert_header(name, &self.name)?;
        }
        if let Some(backend) = &ctx.backend {
            request.insert_header("host", backend.addr.to_string())?;
        }
        let client = session.client_addr().and_then(|address| address.as_inet());
        request.remove_header("x-forwarded-for");
        if let Some(client) = client {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut pingora::http::ResponseHeader,
        _ctx: &mut Ctx,
    ) -> Result<()> {
        self.own_fields(response)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &Error,
        _ctx: &mut Ctx,
    ) -> FailToProxy {
        let (code, page) = match (e.etype(), e.esource()) {
            (HTTPStatus(503), _) => (503, "All servers behind this proxy are out of reach.\n"),
            (HTTPStatus(code), _) => (*code, "This request was refused.\n"),
            (_, ErrorSource::Upstream) => (502, "The server broke off.\n"),
            // Whoever has gone gets no answer.
            (_, ErrorSource::Downstream) => (0, ""),
            _ => (500, "The proxy has failed.\n"),
        };
        if code > 0 && session.response_written().is_none() {
            let mut header = pingora::http::ResponseHeader::build(code, Some(4)).unwrap();
            let made = self.own_fields(&mut header);
            debug_assert!(made.is_ok());
            let _ = header.insert_header("content-length", page.len());
            session.set_keepalive(None);
            let written = session.write_response_header(Box::new(header), false).await;
            if written.is_ok() {
                let page = Bytes::from_static(page.as_bytes());
                let _ = session.write_response_body(Some(page), true).await;
            }
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }
}

impl Proxy {
    fn own_fields(&self, header: &mut pingora::http::ResponseHeader) -> Result<()> {
        header.remove_header("server");
        header.insert_header("x-proxy", &self.name)?;
        header.insert_header("x-load-balancer", "round-robin")
    }
}

fn main() {
    let var = |name: &str| std::env::var(name).ok();
    let list = var("LAB_BACKENDS")
        .unwrap_or("127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192".into());
    let interval = var("LAB_HEALTH_INTERVAL_MS").and_then(|ms| ms.parse().ok()).unwrap_or(1000);

    let discovery = Static::try_from_iter(list.split(',')).expect("addresses in LAB_BACKENDS");
    let mut balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(discovery));
    balancer.set_health_check(pingora_load_balancing::health_check::TcpHealthCheck::new());
    balancer.health_check_frequency = Some(Duration::from_millis(interval));
    let balancer = background_service("balancer", balancer);

    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let name = var("LAB_PROXY_NAME").unwrap_or("pingora-lab".into());
    let proxy = Proxy { balancer: balancer.task(), name };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&var("LAB_LISTEN").unwrap_or("127.0.0.1:6188".into()));
    let ready = server.add_service(balancer);
    server.add_service(service).add_dependency(&ready);
    server.run_forever();
}
