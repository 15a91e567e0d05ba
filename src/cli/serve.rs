//! `pingora-lab serve`.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use colored::Colorize;
use comfy_table::{Table, presets};
use unicode_width::UnicodeWidthStr;

use super::{Exit, Global, invocation};
use crate::backends::{LabBackends, Site};
use crate::config::{
    Backend, BackendName, BackendSpec, Config, HostPort, Listener, LogFormat, Pool, Span, Threads,
};
use crate::language::Language;
use crate::proxy::Unresolved;
use crate::server::{self, BindError, Server, Started};

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
    let mut config = match &args.config {
        Some(path) => Config::from_file(path)?,
        None => Config::default(),
    };
    // Held to the end of the run: the lab backends live as long as this does.
    let lab_backends = args.overlay(&mut config)?;
    config.validate().map_err(|error| match &args.config {
        Some(path) => anyhow::anyhow!("{}: {error}", path.display()),
        None => error.into(),
    })?;

    let log = server::start_log(config.log.format, global.color_override())?;
    let language = global.language();
    let server =
        Server::bind(config).map_err(|error| anyhow::anyhow!(cannot_listen(&error, language)))?;
    let result = server.run(|started| {
        // Whoever read the output may have gone; the traffic goes on.
        let _ = announce(&mut io::stdout().lock(), started, language);
    });
    drop(lab_backends);
    drop(log);
    match result {
        Ok(()) => Ok(Exit::Good),
        Err(error) => match error.downcast_ref::<Unresolved>() {
            Some(unresolved) => {
                Err(anyhow::anyhow!(cannot_resolve(unresolved, args.public, language)))
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
            config.listeners = self.listen.iter().map(|&address| Listener { address }).collect();
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
            Ok(Backend { name: Some(name), address: address.to_string().parse::<HostPort>()? })
        })
        .collect()
}

/// Says where clients are accepted, which backends there are and how they are,
/// and what to try.
fn announce(out: &mut impl Write, started: &Started, language: Language) -> io::Result<()> {
    let words = Words::of(language);
    for address in &started.listeners {
        writeln!(out, "{} {}", words.listening, format!("http://{address}").bold())?;
    }
    writeln!(out)?;

    let width = Table::new().width().map(usize::from);
    let rows = rows(started, words);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(words.headings);
    for (label, address, health) in &rows {
        table.add_row([label.as_str(), address, health.0]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let widest = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    if width.is_none_or(|width| widest <= width) {
        for (number, line) in lines.iter().enumerate() {
            match number.checked_sub(1).and_then(|row| rows.get(row)) {
                None => writeln!(out, "{}", line.bold())?,
                Some((_, _, health)) => {
                    let start = line.strip_suffix(health.0).unwrap_or(line);
                    writeln!(out, "{start}{}", health.coloured())?;
                }
            }
        }
    } else {
        // Too narrow for a table: one under the other.
        for (label, address, health) in &rows {
            writeln!(out, "  {}\n    {address}  {}", label.bold(), health.coloured())?;
        }
    }

    writeln!(out, "\n{}\n", words.try_this)?;
    for command in commands(started) {
        writeln!(out, "  {command}")?;
    }
    writeln!(out, "\n{}", words.stop)?;
    out.flush()
}

/// How an address is, in a word.
struct Health(&'static str, bool);

impl Health {
    fn coloured(&self) -> colored::ColoredString {
        if self.1 { self.0.green() } else { self.0.red() }
    }
}

fn rows(started: &Started, words: &Words) -> Vec<(String, String, Health)> {
    let mut rows = Vec::new();
    for backend in &started.backends {
        for (number, (address, healthy)) in backend.addresses.iter().enumerate() {
            // A name with several addresses is written once.
            let label = if number == 0 { backend.label.clone() } else { String::new() };
            let word = if *healthy { words.healthy } else { words.unhealthy };
            rows.push((label, address.to_string(), Health(word, *healthy)));
        }
    }
    rows
}

/// Three commands that show what was started.
fn commands(started: &Started) -> Vec<String> {
    let Some(listener) = started.listeners.first() else { return Vec::new() };
    // curl and the probe know the scheme; what is short can be read and typed.
    let url = reachable(*listener).to_string();
    let mut commands = vec![format!("curl -i {url}")];
    // The one whose page reads well, if the lab backends are there.
    let named = |label: &str| label == Site::Example.name();
    let backends = &started.backends;
    let by_host = backends.iter().find(|b| named(&b.label)).or_else(|| backends.first());
    if let Some(backend) = by_host.filter(|backend| !backend.label.contains(':')) {
        commands.push(format!("curl -i -H 'Host: {}' {url}", backend.label));
    }
    let target = if *listener == crate::config::DEFAULT_LISTENER { "" } else { &format!(" {url}") };
    commands.push(format!("{} probe{target} --count 5", invocation()));
    commands
}

/// What is wrong with a listener, and what to do.
fn cannot_listen(error: &BindError, language: Language) -> String {
    let BindError { address, cause } = error;
    let (ip, port) = (address.ip(), address.port());
    let elsewhere = match address {
        SocketAddr::V4(_) => format!("--listen {ip}:PORT"),
        SocketAddr::V6(_) => format!("--listen '[{ip}]:PORT'"),
    };
    let why = match (cause.kind(), language) {
        (io::ErrorKind::AddrInUse, Language::En) => format!(
            "port {port} is taken by another process; stop it, or choose another with {elsewhere}"
        ),
        (io::ErrorKind::AddrInUse, Language::Zh) => {
            format!("端口 {port} 已被其他进程占用；请结束该进程，或用 {elsewhere} 换一个端口")
        }
        (io::ErrorKind::PermissionDenied, Language::En) => {
            format!("this process may not use port {port} ({cause}); choose one from 1024 on")
        }
        (io::ErrorKind::PermissionDenied, Language::Zh) => {
            format!("当前进程无权使用端口 {port}（{cause}）；请换用 1024 及以上的端口")
        }
        (io::ErrorKind::AddrNotAvailable, Language::En) => {
            format!("this machine has no address {ip}; use one that it has")
        }
        (io::ErrorKind::AddrNotAvailable, Language::Zh) => {
            format!("本机没有地址 {ip}；请换用本机的地址")
        }
        (_, _) => cause.to_string(),
    };
    match language {
        Language::En => format!("cannot listen on {address}: {why}"),
        Language::Zh => format!("无法监听 {address}：{why}"),
    }
}

/// Which backend has no address, and what to do.
fn cannot_resolve(error: &Unresolved, public: bool, language: Language) -> String {
    let Unresolved { backend, address, reason } = error;
    let serve = format!("{} serve", invocation());
    match (language, public) {
        (Language::En, false) => format!(
            "backend \"{backend}\" ({address}) does not resolve: {reason}; \
             check the name, or give an IP address"
        ),
        (Language::En, true) => format!(
            "backend \"{backend}\" ({address}) does not resolve: {reason}; \
             without --public, `{serve}` needs no internet"
        ),
        (Language::Zh, false) => format!(
            "后端 {backend}（{address}）的域名无法解析：{reason}；请检查域名，或直接填写 IP 地址"
        ),
        (Language::Zh, true) => format!(
            "后端 {backend}（{address}）的域名无法解析：{reason}；不加 --public 时，`{serve}` 无需联网"
        ),
    }
}

/// An address to connect to: one that means every address of the machine is
/// reached over loopback.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

struct Words {
    listening: &'static str,
    headings: [&'static str; 3],
    healthy: &'static str,
    unhealthy: &'static str,
    try_this: &'static str,
    stop: &'static str,
}

impl Words {
    fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &Self {
                listening: "Listening on",
                headings: ["BACKEND", "ADDRESS", "HEALTH"],
                healthy: "healthy",
                unhealthy: "unhealthy",
                try_this: "Try this in another terminal:",
                stop: "Ctrl-C to stop. Each request is one line below.",
            },
            Language::Zh => &Self {
                listening: "正在监听",
                headings: ["后端", "地址", "健康状态"],
                healthy: "健康",
                unhealthy: "不健康",
                try_this: "在另一个终端里试一试：",
                stop: "按 Ctrl-C 停止。每个请求在下方记录一行日志。",
            },
        }
    }
}
