//! More than this stage needs, and right: a path with dot segments goes on without
//! them, so that the backend can read it in no other way than the proxy has. All
//! else that a client writes stays as it is, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::prelude::*;
use pingora_load_balancing::{Backend, Backends, discovery::Static};
use pingora_proxy::FailToProxy;

mod target {
    /// What dot segments may be written as, in small letters.
    const HERE: [&str; 2] = [".", "%2e"];
    const UP: [&str; 4] = ["..", ".%2e", "%2e.", "%2e%2e"];

    /// The path without dot segments, if it has any.
    pub fn resolved(path: &str) -> Option<String> {
        let is = |segment: &str, spellings: &[&str]| {
            spellings.contains(&segment.to_ascii_lowercase().as_str())
        };
        let segments: Vec<_> = path.split('/').skip(1).collect();
        if !segments.iter().any(|segment| is(segment, &HERE) || is(segment, &UP)) {
            return None;
        }
        let mut kept = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let (here, up) = (is(segment, &HERE), is(segment, &UP));
            if up {
                kept.pop();
            }
            if !here && !up {
                kept.push(*segment);
            } else if at == segments.len() - 1 {
                // `/a/..` is a folder: its slash stays.
                kept.push("");
            }
        }
        Some(format!("/{}", kept.join("/")))
    }

    /// Whether the path's first segment is this word, letters encoded or not.
    pub fn begins(path: &str, word: &str) -> bool {
        let first = path.split('/').nth(1).unwrap_or_default();
        let mut given = first.chars();
        word.chars().all(|wanted| match given.next() {
            Some('%') => {
                let code: String = given.by_ref().take(2).collect();
                u8::from_str_radix(&code, 16).is_ok_and(|code| char::from(code) == wanted)
            }
            letter => letter == Some(wanted),
        }) && given.next().is_none()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Admin,
    Api,
    Static,
    Rest,
}

struct Proxy {
    pools: BTreeMap<Service, Arc<LoadBalancer<RoundRobin>>>,
    admin: http::HeaderValue,
    name: String,
}

struct Ctx {
    service: Service,
    /// What is sent on in place of the client's path and query.
    target: Option<String>,
    backend: Option<Backend>,
    failed: Vec<Backend>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx { service: Service::Rest, target: None, backend: None, failed: Vec::new() }
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let request = session.req_header();
        let resolved = target::resolved(request.uri.path());
        let path = resolved.as_deref().unwrap_or(request.uri.path());
        ctx.service = if self.is_for_admin(request) {
            Service::Admin
        } else if target::begins(path, "api") {
            Service::Api
        } else if target::begins(path, "static") {
            Service::Static
        } else {
            Service::Rest
        };
        ctx.target = resolved.map(|path| match request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        });
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        let usable = |backend: &Backend, up: bool| up && !ctx.failed.contains(backend);
        let backend = self.pools[&ctx.service].select_with(b"", 64, usable);
        let backend = backend.or_err(HTTPStatus(503), "nobody is left")?;
        let mut peer = HttpPeer::new(backend.addr.clone(), false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        ctx.backend = Some(backend);
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut e: Box<Error>,
    ) -> Box<Error> {
        ctx.failed.extend(ctx.backend.take());
        e.set_retry(true);
        e
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Some(target) = &ctx.target {
            request.set_raw_path(target.as_bytes())?;
        }
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

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, _ctx: &mut Ctx) -> FailToProxy {
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
    fn is_for_admin(&self, request: &RequestHeader) -> bool {
        let named = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request.headers.get("host").map_or(&[][..], |host| host.as_bytes()),
        };
        let admin = self.admin.as_bytes();
        let (Some(host), Some(rest)) = (named.get(..admin.len()), named.get(admin.len()..)) else {
            return false;
        };
        let port = matches!(rest, [] | [b':', ..]) && rest.iter().skip(1).all(u8::is_ascii_digit);
        host.eq_ignore_ascii_case(admin) && port
    }

    fn own_fields(&self, header: &mut pingora::http::ResponseHeader) -> Result<()> {
        header.remove_header("server");
        header.insert_header("x-proxy", &self.name)?;
        header.insert_header("x-load-balancer", "round-robin")
    }
}

fn main() {
    let var = |name: &str| std::env::var(name).ok();
    let interval = var("LAB_HEALTH_INTERVAL_MS").and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    let mut server = Server::new(None).unwrap();
    server.bootstrap();

    let mut pools = BTreeMap::new();
    let mut ready = Vec::new();
    for (service, variable, default) in [
        (Service::Rest, "LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192"),
        (Service::Api, "LAB_API_BACKENDS", "127.0.0.1:6190"),
        (Service::Static, "LAB_STATIC_BACKENDS", "127.0.0.1:6191"),
        (Service::Admin, "LAB_ADMIN_BACKENDS", "127.0.0.1:6192"),
    ] {
        let list = var(variable).unwrap_or(default.into());
        let discovery = Static::try_from_iter(list.split(',')).expect("a list of addresses");
        let mut balancer = LoadBalancer::<RoundRobin>::from_backends(Backends::new(discovery));
        balancer.set_health_check(pingora_load_balancing::health_check::TcpHealthCheck::new());
        balancer.health_check_frequency = Some(Duration::from_millis(interval));
        let balancer = background_service(variable, balancer);
        pools.insert(service, balancer.task());
        ready.push(server.add_service(balancer));
    }
    let admin = var("LAB_ADMIN_HOST").unwrap_or("admin.test".into());
    let admin = admin.parse().expect("LAB_ADMIN_HOST is a host");
    let name = var("LAB_PROXY_NAME").unwrap_or("pingora-lab".into());
    let mut service = http_proxy_service(&server.configuration, Proxy { pools, admin, name });
    service.add_tcp(&var("LAB_LISTEN").unwrap_or("127.0.0.1:6188".into()));
    server.add_service(service).add_dependencies(&ready);
    server.run_forever();
}
