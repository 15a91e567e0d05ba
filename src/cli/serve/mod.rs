//! `pingora-lab serve`.

mod screen;
mod trouble;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;

use super::{Exit, Global};
use crate::backends::{LabBackends, Site};
use crate::config::{
    Backend, BackendName, BackendSpec, Config, HostPort, Listener, LogFormat, Pool, Span, Threads,
};
use crate::language::Language;
use crate::proxy::Unresolved;
use crate::server::{self, BindError, Origin, Server};

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

    /// Address for metrics, state and control [default: none]
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,

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

    /// Take over from the process that runs with this file, without a request lost
    #[arg(long, requires = "config", conflicts_with_all = ["check", "print_config", "schema"])]
    upgrade: bool,

    /// Say whether the settings are valid, and do nothing else
    #[arg(long, conflicts_with_all = ["print_config", "schema"])]
    check: bool,

    /// Print the settings with all defaults and with secrets masked, as TOML
    #[arg(long, conflicts_with = "schema")]
    print_config: bool,

    /// Print the JSON Schema of the file
    #[arg(long)]
    schema: bool,
}

pub(super) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    if args.schema {
        return print(&format!("{:#}\n", Config::schema()));
    }
    // Held to the end of the run: the lab backends live as long as this does.
    let (flags, lab_backends) = args.flags()?;
    let read = Box::new(move || flags.read().map_err(|error| error.to_string()));
    let origin = Origin::watched(args.config.as_deref(), read);
    let config = origin.read().map_err(anyhow::Error::msg)?;
    if args.print_config {
        return print(&config.to_toml().context("cannot write the configuration down")?);
    }
    if args.check {
        return print(match global.language() {
            Language::En => "The configuration is valid.\n",
            Language::Zh => "配置有效。\n",
        });
    }

    let log = server::start_log(config.log.format, global.color_override())?;
    let language = global.language();
    let server =
        Server::bind(config, origin, global.color_override(), args.upgrade).map_err(|error| {
            match error.downcast_ref::<BindError>() {
                Some(error) => anyhow::anyhow!(trouble::cannot_listen(error, language)),
                None => error,
            }
        })?;
    let result = server.run(move |started| {
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

fn print(text: &str) -> anyhow::Result<Exit> {
    io::stdout().lock().write_all(text.as_bytes()).context("cannot write to stdout")?;
    Ok(Exit::Good)
}

/// What the command line says of the configuration, which is laid over the file
/// each time the file is read.
struct Flags {
    file: Option<PathBuf>,
    listeners: Vec<Listener>,
    admin: Option<SocketAddr>,
    threads: Option<Threads>,
    drain: Option<Span>,
    log: Option<LogFormat>,
    backends: Option<Vec<Backend>>,
    health_interval: Option<Span>,
}

impl Flags {
    /// Reads the file, if there is one, lays the flags over it and validates the
    /// whole.
    fn read(&self) -> anyhow::Result<Config> {
        let (mut config, source) = match &self.file {
            Some(path) => Config::from_file(path).map(|(config, source)| (config, Some(source)))?,
            None => (Config::default(), None),
        };
        self.lay_over(&mut config);
        config.validate().and_then(|()| server::inspect(&config)).map_err(
            |misfit| match &source {
                Some(source) => source.locate(&misfit).into(),
                None => anyhow::Error::from(misfit),
            },
        )?;
        Ok(config)
    }

    fn lay_over(&self, config: &mut Config) {
        if !self.listeners.is_empty() {
            config.listeners.clone_from(&self.listeners);
        }
        if let Some(address) = self.admin {
            config.admin.get_or_insert_default().address = address;
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
        if let Some(backends) = &self.backends {
            match config.pools.as_mut_slice() {
                [pool] => pool.backends.clone_from(backends),
                _ => config.pools = vec![Pool::new(backends.clone())],
            }
        }
        if let (Some(interval), [pool]) = (self.health_interval, config.pools.as_mut_slice()) {
            pool.health_check.interval = interval;
        }
    }
}

impl Args {
    /// What the flags say, with lab backends started if neither they nor a file
    /// name any backend.
    fn flags(&self) -> anyhow::Result<(Flags, Option<LabBackends>)> {
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
        let flags = Flags {
            file: self.config.clone(),
            listeners: self.listen.iter().copied().map(Listener::new).collect(),
            admin: self.admin,
            threads: self.threads,
            drain: self.drain,
            log: self.log,
            backends,
            health_interval: self.health_interval,
        };
        Ok((flags, lab_backends))
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
