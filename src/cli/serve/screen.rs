//! What `serve` shows once it answers clients.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use colored::{Color, Colorize};

use crate::backends::Site;
use crate::cli::invocation;
use crate::cli::listing::{Listing, terminal_width};
use crate::config::{DEFAULT_LISTENER, LogTarget};
use crate::language::Language;
use crate::server::Started;

/// Says where clients are accepted, which backends there are and how they are,
/// and what to try.
pub(super) fn announce(
    out: &mut impl Write,
    started: &Started,
    language: Language,
) -> io::Result<()> {
    let words = Words::of(language);
    for (address, tls) in &started.listeners {
        let scheme = if *tls { "https" } else { "http" };
        writeln!(out, "{} {}", words.listening, format!("{scheme}://{address}").bold())?;
    }
    if let Some(address) = started.admin {
        writeln!(out, "{} {}", words.admin, format!("http://{address}").bold())?;
    }
    writeln!(out)?;

    match started.pools.is_empty() {
        true => writeln!(out, "{}", words.no_backends)?,
        false => listing(started, words).write(out, terminal_width())?,
    }

    writeln!(out, "\n{}\n", words.try_this)?;
    for command in commands(started) {
        writeln!(out, "  {command}")?;
    }
    writeln!(out, "\n{}{}", words.stop, requests(started.access_log.as_ref(), language))?;
    out.flush()
}

fn listing(started: &Started, words: &Words) -> Listing {
    let mut listing = Listing::new(words.headings);
    let several = started.pools.len() > 1;
    let backends = started.pools.iter().flat_map(|(pool, b)| b.iter().map(move |b| (pool, b)));
    for (pool, backend) in backends {
        for (number, state) in backend.addresses.iter().enumerate() {
            // A name with several addresses is written once.
            let label = match (number, several) {
                (0, false) => backend.label.clone(),
                (0, true) => format!("{pool}/{}", backend.label),
                _ => String::new(),
            };
            let (health, color) = match state.healthy {
                true => (words.healthy, Color::Green),
                false => (words.unhealthy, Color::Red),
            };
            listing.push([label, state.address.to_string(), health.to_owned()], Some(color));
        }
    }
    listing
}

/// Three commands that show what was started.
fn commands(started: &Started) -> Vec<String> {
    // One that anybody can talk to without certificates, if there is one.
    let plain = started.listeners.iter().find(|(_, tls)| !tls);
    let Some((listener, tls)) = plain.or(started.listeners.first()) else { return Vec::new() };
    // curl and the probe know `http`; what is short can be read and typed.
    let scheme = if *tls { "https://" } else { "" };
    let url = format!("{scheme}{}", reachable(*listener));
    let mut commands = vec![format!("curl -i {url}")];
    // The one whose page reads well, if the lab backends are there.
    let named = |label: &str| label == Site::Example.name();
    let backends: Vec<_> = started.pools.iter().flat_map(|(_, backends)| backends).collect();
    let by_host =
        backends.iter().copied().find(|b| named(&b.label)).or_else(|| backends.first().copied());
    if let Some(backend) = by_host.filter(|backend| !backend.label.contains(':')) {
        commands.push(format!("curl -i -H 'Host: {}' {url}", backend.label));
    }
    let target = if *listener == DEFAULT_LISTENER && !tls { "" } else { &format!(" {url}") };
    commands.push(format!("{} probe{target} --count 5", invocation()));
    commands
}

/// Where each request can be seen.
fn requests(access_log: Option<&LogTarget>, language: Language) -> String {
    match (access_log, language) {
        (Some(LogTarget::Stderr | LogTarget::Stdout), Language::En) => {
            " Each request is one line below.".to_owned()
        }
        (Some(LogTarget::Stderr | LogTarget::Stdout), Language::Zh) => {
            "每个请求在下方记录一行日志。".to_owned()
        }
        (Some(LogTarget::File(path)), Language::En) => {
            format!(" Each request is one line in {}.", path.display())
        }
        (Some(LogTarget::File(path)), Language::Zh) => {
            format!("每个请求在 {} 中记录一行日志。", path.display())
        }
        (None, Language::En) => " Requests are not logged.".to_owned(),
        (None, Language::Zh) => "不记录请求日志。".to_owned(),
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
    admin: &'static str,
    headings: [&'static str; 3],
    healthy: &'static str,
    unhealthy: &'static str,
    no_backends: &'static str,
    try_this: &'static str,
    stop: &'static str,
}

impl Words {
    fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &Self {
                listening: "Listening on",
                admin: "Admin on",
                headings: ["BACKEND", "ADDRESS", "HEALTH"],
                healthy: "healthy",
                unhealthy: "unhealthy",
                no_backends: "No backends: the routes answer by themselves.",
                try_this: "Try this in another terminal:",
                stop: "Ctrl-C to stop.",
            },
            Language::Zh => &Self {
                listening: "正在监听",
                admin: "管理地址",
                headings: ["后端", "地址", "健康状态"],
                healthy: "健康",
                unhealthy: "不健康",
                no_backends: "没有后端：请求由各条路由直接应答。",
                try_this: "在另一个终端里试一试：",
                stop: "按 Ctrl-C 停止。",
            },
        }
    }
}
