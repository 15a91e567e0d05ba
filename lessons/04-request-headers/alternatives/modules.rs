//! Another layout: settings, the fields and the proxy in modules of their own; the
//! names of the fields and the proxy's own value are made once, at the start.

mod settings {
    use std::env::{self, VarError};
    use std::time::Duration;

    pub struct Settings {
        pub listen: String,
        pub backends: Vec<String>,
        pub interval: Duration,
        pub name: String,
    }

    impl Settings {
        pub fn read() -> Result<Self, String> {
            let interval = text("LAB_HEALTH_INTERVAL_MS", "1000")?;
            let interval = interval.parse().map_err(|error| format!("{interval}: {error}"))?;
            let list = text("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192")?;
            Ok(Self {
                listen: text("LAB_LISTEN", "127.0.0.1:6188")?,
                backends: list.split(',').map(|item| item.trim().to_owned()).collect(),
                interval: Duration::from_millis(interval),
                name: text("LAB_PROXY_NAME", "pingora-lab")?,
            })
        }
    }

    fn text(name: &str, default: &str) -> Result<String, String> {
        match env::var(name) {
            Err(VarError::NotPresent) => Ok(default.to_owned()),
            other => other.map_err(|error| format!("{name}: {error}")),
        }
    }
}

mod testimony {
    use std::net::IpAddr;

    use http::HeaderValue;
    use http::header::{HOST, HeaderName, InvalidHeaderValue};
    use pingora::http::RequestHeader;

    const ADDED: HeaderName = HeaderName::from_static("x-proxy-added");
    const BY: HeaderName = HeaderName::from_static("x-forwarded-by");
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

    /// What the proxy says of itself.
    pub struct Signature(HeaderValue);

    impl Signature {
        pub fn new(name: &str) -> Result<Self, InvalidHeaderValue> {
            HeaderValue::from_str(name).map(Self)
        }

        pub fn sign(
            &self,
            request: &mut RequestHeader,
            client: Option<IpAddr>,
            host: &HeaderValue,
        ) -> pingora::Result<()> {
            request.insert_header(ADDED, self.0.clone())?;
            request.insert_header(BY, self.0.clone())?;
            request.insert_header(HOST, host.clone())?;
            // Gone first, so that nothing is left of it where there is no address.
            request.remove_header(&FOR);
            if let Some(client) = client {
                request.insert_header(FOR, client.to_string())?;
            }
            Ok(())
        }
    }
}

mod proxy {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use http::HeaderValue;
    use pingora::http::RequestHeader;
    use pingora::upstreams::peer::HttpPeer;
    use pingora::{Error, ErrorType, OrErr};
    use pingora_load_balancing::{Backend, LoadBalancer, selection::RoundRobin};
    use pingora_proxy::{ProxyHttp, Session};

    use super::testimony::Signature;

    pub struct Balanced {
        pub pool: Arc<LoadBalancer<RoundRobin>>,
        pub signature: Signature,
    }

    /// One request.
    #[derive(Default)]
    pub struct Request {
        chosen: Option<Backend>,
    }

    #[async_trait]
    impl ProxyHttp for Balanced {
        type CTX = Request;

        fn new_ctx(&self) -> Request {
            Request::default()
        }

        async fn upstream_peer(
            &self,
            _: &mut Session,
            request: &mut Request,
        ) -> pingora::Result<Box<HttpPeer>> {
            let Some(backend) = self.pool.select(&[], usize::from(u8::MAX)) else {
                return Error::e_explain(ErrorType::HTTPStatus(503), "every backend is down");
            };
            let mut peer = HttpPeer::new(backend.addr.clone(), false, String::new());
            peer.options.connection_timeout = Some(Duration::from_secs(2));
            request.chosen = Some(backend);
            Ok(Box::new(peer))
        }

        async fn upstream_request_filter(
            &self,
            session: &mut Session,
            header: &mut RequestHeader,
            request: &mut Request,
        ) -> pingora::Result<()> {
            let Some(backend) = &request.chosen else { return Ok(()) };
            let host = HeaderValue::from_str(&backend.addr.to_string())
                .or_err(ErrorType::InvalidHTTPHeader, "a backend's address as Host")?;
            let client = session.client_addr().and_then(|address| address.as_inet());
            self.signature.sign(header, client.map(std::net::SocketAddr::ip), &host)
        }
    }
}

fn main() {
    use pingora::server::{Server, configuration::ServerConf};
    use pingora::services::background::background_service;
    use pingora_load_balancing::{LoadBalancer, health_check::TcpHealthCheck};

    let settings = settings::Settings::read().unwrap_or_else(|problem| {
        eprintln!("bad settings: {problem}");
        std::process::exit(2);
    });
    let signature = testimony::Signature::new(&settings.name).unwrap_or_else(|problem| {
        eprintln!("LAB_PROXY_NAME: {problem}");
        std::process::exit(2);
    });
    let mut pool = LoadBalancer::try_from_iter(&settings.backends).unwrap_or_else(|problem| {
        eprintln!("LAB_BACKENDS: {problem}");
        std::process::exit(2);
    });
    pool.set_health_check(TcpHealthCheck::new());
    pool.health_check_frequency = Some(settings.interval);
    pool.parallel_health_check = true;

    let conf = ServerConf { threads: 2, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let checks = background_service("checks", pool);
    let balanced = proxy::Balanced { pool: checks.task(), signature };
    let mut service = pingora_proxy::http_proxy_service(&server.configuration, balanced);
    service.add_tcp(&settings.listen);
    let checked = server.add_service(checks);
    server.add_service(service).add_dependency(&checked);
    server.run_forever()
}
