//! The same proxy in another layout: settings and proxy in modules of their
//! own, the server's settings made by hand, the address parsed once at the start.

mod settings {
    use std::env;
    use std::net::SocketAddr;

    /// Where to listen and where requests go.
    pub struct Settings {
        pub listen: String,
        pub upstream: SocketAddr,
    }

    impl Settings {
        pub fn from_environment() -> Result<Self, String> {
            let listen = env::var("LAB_LISTEN").unwrap_or_else(|_| "127.0.0.1:6188".into());
            let list = env::var("LAB_BACKENDS").unwrap_or_else(|_| "127.0.0.1:6190".into());
            let first = list.split(',').map(str::trim).find(|item| !item.is_empty());
            let first = first.ok_or("LAB_BACKENDS names no backend")?;
            let upstream = first.parse().map_err(|error| format!("{first}: {error}"))?;
            Ok(Self { listen, upstream })
        }
    }
}

mod proxy {
    use std::net::SocketAddr;
    use std::time::Duration;

    use async_trait::async_trait;
    use pingora_proxy::{ProxyHttp, Session};

    use pingora::upstreams::peer::HttpPeer;

    pub struct Forward(pub SocketAddr);

    /// Counts nothing yet; later stages put things here.
    #[derive(Default)]
    pub struct Context;

    #[async_trait]
    impl ProxyHttp for Forward {
        type CTX = Context;

        fn new_ctx(&self) -> Context {
            Context
        }

        async fn upstream_peer(
            &self,
            _: &mut Session,
            _: &mut Context,
        ) -> pingora::Result<Box<HttpPeer>> {
            let mut peer = HttpPeer::new(self.0, false, String::new());
            peer.options.connection_timeout = Some(Duration::from_secs(2));
            peer.options.read_timeout = Some(Duration::from_secs(30));
            Ok(Box::new(peer))
        }
    }
}

fn main() {
    use pingora::server::Server;
    use pingora::server::configuration::ServerConf;
    use pingora_proxy::http_proxy_service;

    let settings = match settings::Settings::from_environment() {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("bad settings: {problem}");
            std::process::exit(2);
        }
    };
    let conf = ServerConf { threads: 2, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let forward = proxy::Forward(settings.upstream);
    let mut service = http_proxy_service(&server.configuration, forward);
    service.add_tcp(&settings.listen);
    server.add_service(service);
    server.run_forever()
}
