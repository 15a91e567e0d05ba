//! Pingora's balancer with a health check of one's own, built from its parts:
//! discovery, backends, balancer.

mod settings {
    use std::time::Duration;

    pub struct Settings {
        pub listen: String,
        pub backends: Vec<String>,
        pub interval: Duration,
    }

    pub fn read() -> Settings {
        let get = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_string());
        let backends = get("LAB_BACKENDS", "127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192");
        let interval = get("LAB_HEALTH_INTERVAL_MS", "1000");
        Settings {
            listen: get("LAB_LISTEN", "127.0.0.1:6188"),
            backends: backends.split(',').map(str::to_string).collect(),
            interval: Duration::from_millis(interval.parse().expect("a number of milliseconds")),
        }
    }
}

mod health {
    use std::time::Duration;

    use async_trait::async_trait;
    use pingora::{Error, ErrorType, Result};
    use pingora_load_balancing::Backend;
    use pingora_load_balancing::health_check::HealthCheck;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    /// A backend that accepts a connection in time is well; two refusals in a row
    /// are one too many.
    pub struct Accepts {
        pub within: Duration,
    }

    #[async_trait]
    impl HealthCheck for Accepts {
        async fn check(&self, target: &Backend) -> Result<()> {
            let address = target.addr.as_inet().ok_or_else(|| Error::new_str("no IP address"))?;
            match timeout(self.within, TcpStream::connect(address)).await {
                Ok(Ok(_stream)) => Ok(()),
                Ok(Err(error)) => {
                    Error::e_because(ErrorType::ConnectError, "the check was refused", error)
                }
                Err(_) => Error::e_explain(ErrorType::ConnectTimedout, "the check got no answer"),
            }
        }

        fn health_threshold(&self, success: bool) -> usize {
            if success { 1 } else { 2 }
        }
    }
}

mod proxy {
    use std::sync::Arc;

    use async_trait::async_trait;
    use pingora::ErrorType::HTTPStatus;
    use pingora::{Error, Result};
    use pingora::upstreams::peer::HttpPeer;
    use pingora_load_balancing::LoadBalancer;
    use pingora_load_balancing::selection::RoundRobin;
    use pingora_proxy::{ProxyHttp, Session};

    pub struct Lab {
        pub upstreams: Arc<LoadBalancer<RoundRobin>>,
    }

    #[async_trait]
    impl ProxyHttp for Lab {
        type CTX = ();

        fn new_ctx(&self) -> Self::CTX {}

        async fn upstream_peer(
            &self,
            _session: &mut Session,
            _ctx: &mut Self::CTX,
        ) -> Result<Box<HttpPeer>> {
            let Some(chosen) = self.upstreams.select(&[], 1000) else {
                return Err(Error::explain(HTTPStatus(503), "nobody is left"));
            };
            Ok(Box::new(HttpPeer::new(chosen.addr, false, String::new())))
        }
    }
}

fn main() {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use pingora::prelude::{Server, background_service};
    use pingora_load_balancing::discovery::Static;
    use pingora_load_balancing::selection::RoundRobin;
    use pingora_load_balancing::{Backend, Backends, LoadBalancer};

    let settings = settings::read();
    let all = settings.backends.iter().map(|one| Backend::new(one).expect("an address"));
    let mut backends = Backends::new(Static::new(all.collect::<BTreeSet<_>>()));
    backends.set_health_check(Box::new(health::Accepts { within: Duration::from_millis(300) }));
    let mut upstreams = LoadBalancer::<RoundRobin>::from_backends(backends);
    upstreams.health_check_frequency = Some(settings.interval);

    let mut server = Server::new(None).expect("the defaults");
    server.bootstrap();
    let checked = background_service("checked upstreams", upstreams);
    let lab = proxy::Lab { upstreams: checked.task() };
    let mut service = pingora_proxy::http_proxy_service(&server.configuration, lab);
    service.add_tcp(&settings.listen);
    // From here on discovery fills the list; the proxy waits for that.
    let checked = server.add_service(checked);
    server.add_service(service).add_dependency(&checked);
    server.run_forever();
}
