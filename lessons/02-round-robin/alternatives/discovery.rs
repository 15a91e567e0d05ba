//! The library's parts one by one: a discovery, a set of backends, a selection
//! of one's own, and the choice made in `request_filter`.

mod turns {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pingora_load_balancing::Backend;
    use pingora_load_balancing::selection::{BackendIter, BackendSelection};

    /// Everyone in turn.
    pub struct Turns {
        backends: Vec<Backend>,
        next: AtomicUsize,
    }

    /// The candidates for one request: whose turn it is, then the neighbours.
    pub struct Candidates {
        turns: Arc<Turns>,
        place: usize,
    }

    impl BackendSelection for Turns {
        type Iter = Candidates;
        type Config = ();

        fn build(backends: &BTreeSet<Backend>) -> Self {
            Self { backends: backends.iter().cloned().collect(), next: AtomicUsize::new(0) }
        }

        fn iter(self: &Arc<Self>, _key: &[u8]) -> Candidates {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            Candidates { turns: Arc::clone(self), place }
        }
    }

    impl BackendIter for Candidates {
        fn next(&mut self) -> Option<&Backend> {
            let place = self.place.checked_rem(self.turns.backends.len())?;
            self.place += 1;
            self.turns.backends.get(place)
        }
    }
}

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::prelude::{HttpPeer, Server};
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service_with_name};

struct Proxy(LoadBalancer<turns::Turns>);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Option<Backend>;

    fn new_ctx(&self) -> Option<Backend> {
        None
    }

    /// Chooses before anything else, and answers itself where it cannot.
    async fn request_filter(&self, session: &mut Session, chosen: &mut Self::CTX) -> Result<bool> {
        *chosen = self.0.select(b"", 16);
        if chosen.is_some() {
            return Ok(false);
        }
        let mut header = ResponseHeader::build(503, None)?;
        header.insert_header("content-length", "0")?;
        session.write_response_header(Box::new(header), true).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, chosen: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        let backend = chosen.as_ref().ok_or_else(|| Error::new(ErrorType::InternalError))?;
        Ok(Box::new(HttpPeer::new(&backend.addr, false, String::new())))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::var("LAB_LISTEN").unwrap_or("127.0.0.1:6188".into());
    let list = std::env::var("LAB_BACKENDS")
        .unwrap_or("127.0.0.1:6190,127.0.0.1:6191,127.0.0.1:6192".into());
    let balancer = LoadBalancer::from_backends(Backends::new(Static::try_from_iter(list.split(','))?));
    // A balancer from backends is empty until it has been updated.
    tokio::runtime::Builder::new_current_thread().build()?.block_on(balancer.update())?;

    let mut server = Server::new(None)?;
    server.bootstrap();
    let mut service =
        http_proxy_service_with_name(&server.configuration, Proxy(balancer), "round robin");
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
