//! `pingora-lab serve`.

mod screen;
mod trouble;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;

use super::{Exit, Global};
use crate::backends::{LabBackends, Site};
use crate::config::{
    Backend, BackendName, BackendSpec, Config, HostPort, Listener, LogFormat, Pool, Span, Threads,
};
use crate::proxy::Unresolved;
use crate::server::{self, BindError, Server};

/// The services that the lab backends stand in for.
const PUBLIC: [&str; 3] = ["httpbin.org:80", "example.com:80", "jsonplaceholder.typicode.com:80"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Balance over the real httpbin.org, example.com and
    /// jsonplaceholder.typicode.com instead of lab backends
    #[arg(long, conflicts_with = "backends")]
    public: bool,

    /// Balance over these backends instead
    #[arg(long, value_name = "[NAME=]HOST:PORT,…", value_delimiter = ',')]
    backends: Vec<BackendSpec>,

    /// Address to accept clients on; may be repeated [default: 127.0.0.1:6188]
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<SocketAddr>,

    /// Worker threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<Threads>,

    /// Time between two health checks while all backends are healthy [default: 30s]
    #[arg(long, value_name = "TIME")]
    health_interval: Option<Span>,

    /// How long requests in flight may take to finish on SIGTERM [default: 10s]
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,

    /// Read the settings from a TOML file; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Form of the log, which goes to stderr [default: text]
    #[arg(long, value_name = "FORM")]
    log: Option<LogFormat>,
}

pub(super) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let (mut config, source) = match &args.config {
        Some(path) => Config::from_file(path).map(|(config, source)| (config, Some(source)))?,
        None => (Config::default(), None),
    };
    // Held to the end of the run: the lab backends live as long as this does.
    let lab_backends = args.overlay(&mut config)?;
    config.validate().map_err(|misfit| match &source {
        Some(source) => source.locate(&misfit).into(),
        None => anyhow::Error::from(misfit),
    })?;

    let log = server::start_log(config.log.format, global.color_override())?;
    let language = global.language();
    let server = Server::bind(config).map_err(|error| match error.downcast_ref::<BindError>() {
        Some(error) => anyhow::anyhow!(trouble::cannot_listen(error, language)),
        None => error,
    })?;
    let result = server.run(|started| {
        // Whoever read the output may have gone; the traffic goes on.
        let _ = screen::announce(&mut io::stdout().lock(), started, language);
    });
    drop(lab_backends);
    drop(log);
    match result {
        Ok(()) => Ok(Exit::Good),
        Err(error) => match error.downcast_ref::<Unresolved>() {
            Some(unresolved) => {
                Err(anyhow::anyhow!(trouble::cannot_resolve(unresolved, args.public, language)))
            }
            None => Err(error),
        },
    }
}

impl Args {
    /// Lays the flags over the file, and starts lab backends if neither names
    /// any backend.
    fn overlay(&self, config: &mut Config) -> anyhow::Result<Option<LabBackends>> {
        if !self.listen.is_empty() {
            config.listeners = self.listen.iter().copied().map(Listener::new).collect();
        }
        if let Some(threads) = self.threads {
            config.threads = threads;
        }
        if let Some(drain) = self.drain {
            config.shutdown.drain = drain;
        }
        if let Some(format) = self.log {
            config.log.format = format;
        }
        let mut lab_backends = None;
        let backends = if self.public {
            let specs = PUBLIC.iter().map(|spec| spec.parse()).collect::<Result<_, _>>()?;
            Some(BackendSpec::backends(specs))
        } else if !self.backends.is_empty() {
            Some(BackendSpec::backends(self.backends.clone()))
        } else if self.config.is_none() {
            let running = start_lab_backends()?;
            let backends = lab_pool(&running)?;
            lab_backends = Some(running);
            Some(backends)
        } else {
            None
        };
        if let Some(backends) = backends {
            match config.pools.as_mut_slice() {
                [pool] => pool.backends = backends,
                _ => config.pools = vec![Pool::new(backends)],
            }
        }
        if let (Some(interval), [pool]) = (self.health_interval, config.pools.as_mut_slice()) {
            pool.health_check.interval = interval;
        }
        Ok(lab_backends)
    }
}

/// On free ports: those of `pingora-lab backends` are left to that command.
fn start_lab_backends() -> anyhow::Result<LabBackends> {
    let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    LabBackends::bind(&Site::ALL.map(|site| (site, anywhere)))
        .map_err(anyhow::Error::from)
        .and_then(|bound| Ok(bound.start()?))
        .context("cannot start the lab backends; name others with --backends HOST:PORT")
}

fn lab_pool(running: &LabBackends) -> anyhow::Result<Vec<Backend>> {
    running
        .addresses()
        .into_iter()
        .map(|(site, address)| {
            let name = BackendName::try_from(site.name().to_owned())?;
            Ok(Backend::new(Some(name), address.to_string().parse::<HostPort>()?))
        })
        .collect()
}
