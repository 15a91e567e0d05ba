//! The lab backends, as a library embeds them and as a command runs them.

mod command;
mod example;
mod exchange;
mod httpbin;
mod jsonplaceholder;
mod life;
mod observation;
mod real_httpbin;

use std::net::{Ipv4Addr, SocketAddr};

use pingora_lab::backends::{LabBackends, Site};

use exchange::{Answer, Request};

/// The three backends on free ports, ended with the test.
struct Lab(LabBackends);

impl Lab {
    fn start() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bound = LabBackends::bind(&Site::ALL.map(|site| (site, any))).expect("free ports");
        Self(bound.start().expect("threads"))
    }

    fn address(&self, site: Site) -> SocketAddr {
        let addresses = self.0.addresses();
        addresses.into_iter().find(|(known, _)| *known == site).expect("all are running").1
    }

    fn fetch(&self, site: Site, request: &Request) -> Answer {
        exchange::fetch(self.address(site), request)
    }

    fn get(&self, site: Site, target: &str) -> Answer {
        self.fetch(site, &Request::get(target))
    }
}
