//! `pingora-lab backends`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::listing::{Listing, terminal_width};
use super::{Exit, Global};
use crate::backends::{BindError, LabBackends, Site};
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ports for httpbin, example and jsonplaceholder; 0 is any free port
    #[arg(long, value_name = "A,B,C", default_value = "6190,6191,6192")]
    ports: Ports,

    /// IP address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
}

/// A port for each of [`Site::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports([u16; Site::ALL.len()]);

pub(super) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let language = global.language();
    // From here on a signal ends the program in order, however early it comes.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;

    let ports = Site::ALL.into_iter().zip(args.ports.0);
    let wanted: Vec<_> =
        ports.map(|(site, port)| (site, SocketAddr::new(args.host, port))).collect();
    let bound =
        LabBackends::bind(&wanted).map_err(|error| anyhow::anyhow!(explain(&error, language)))?;
    let backends = bound.start().context("cannot start the lab backends")?;

    // Whoever read the output may have gone; the backends serve all the same.
    let _ = announce(&mut io::stdout().lock(), &backends.addresses(), language);

    signals.forever().next();
    backends.stop();
    Ok(Exit::Good)
}

/// Says what runs where.
fn announce(
    out: &mut impl Write,
    addresses: &[(Site, SocketAddr)],
    language: Language,
) -> io::Result<()> {
    let (title, headings, stop) = match language {
        Language::En => ("Lab backends running:", ["NAME", "ADDRESS", "TRY"], "Ctrl-C to stop."),
        Language::Zh => ("实验后端已启动：", ["名称", "地址", "试一试"], "按 Ctrl-C 停止。"),
    };
    let mut listing = Listing::new(headings);
    for &(site, address) in addresses {
        let cells = [site.name().to_owned(), address.to_string(), example(site, address)];
        listing.push(cells, None);
    }
    writeln!(out, "{title}\n")?;
    listing.write(out, terminal_width())?;
    writeln!(out, "\n{stop}")?;
    out.flush()
}

/// A command that shows what this backend is good for.
fn example(site: Site, address: SocketAddr) -> String {
    let path = match site {
        Site::Httpbin => "/get",
        Site::Example => "/",
        Site::JsonPlaceholder => "/posts/1",
    };
    // Without the scheme, which curl adds, the table fits 80 columns.
    format!("curl -i {address}{path}")
}

/// One sentence with every address that could not be had, and the way out.
fn explain(error: &BindError, language: Language) -> String {
    // The reason once, and what it is the reason for.
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for failure in &error.failures {
        let reason = reason(&failure.source, language);
        let address = match language {
            Language::En => format!("{} ({})", failure.address, failure.site),
            Language::Zh => format!("{}（{}）", failure.address, failure.site),
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, addresses)) => addresses.push(address),
            None => reasons.push((reason, vec![address])),
        }
    }
    let no_such_host = |kind| kind == io::ErrorKind::AddrNotAvailable;
    let wrong_host = error.failures.iter().any(|failure| no_such_host(failure.source.kind()));
    match language {
        Language::En => {
            let remedy = if wrong_host {
                "choose an address of this machine with --host"
            } else {
                "choose other ports with --ports A,B,C, or any free ones with --ports 0,0,0"
            };
            let reasons = reasons.iter().map(|(why, what)| format!("{why}: {}", what.join(", ")));
            let reasons = reasons.collect::<Vec<_>>().join("; ");
            format!("cannot start the lab backends; {reasons}; {remedy}")
        }
        Language::Zh => {
            let remedy = if wrong_host {
                "请用 --host 指定本机的地址"
            } else {
                "请用 --ports A,B,C 换用其他端口，或用 --ports 0,0,0 自动选择空闲端口"
            };
            let reasons = reasons.iter().map(|(why, what)| format!("{why}：{}", what.join("、")));
            let reasons = reasons.collect::<Vec<_>>().join("；");
            format!("无法启动实验后端。{reasons}。{remedy}")
        }
    }
}

fn reason(error: &io::Error, language: Language) -> String {
    let (en, zh) = match error.kind() {
        io::ErrorKind::AddrInUse => ("already in use", "端口已被占用"),
        io::ErrorKind::AddrNotAvailable => ("not an address of this machine", "不是本机的地址"),
        io::ErrorKind::PermissionDenied => ("not permitted to this user", "当前用户无权监听"),
        _ => return error.to_string(),
    };
    match language {
        Language::En => en.to_owned(),
        Language::Zh => zh.to_owned(),
    }
}

// === impl Ports ===

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| {
            let text = text.trim();
            text.parse::<u16>().map_err(|_| format!("'{text}' is no port (0 to 65535)"))
        };
        let ports = text.split(',').map(port).collect::<Result<Vec<_>, _>>()?;
        let count = ports.len();
        let ports: [u16; Site::ALL.len()] = ports.try_into().map_err(|_| {
            format!("three ports are wanted, as in 7001,7002,7003; these are {count}")
        })?;
        let mut seen = BTreeSet::new();
        match ports.iter().find(|port| **port != 0 && !seen.insert(**port)) {
            Some(port) => Err(format!("port {port} is there twice")),
            None => Ok(Self(ports)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_ports_are_wanted() {
        assert_eq!("7001,7002, 7003".parse(), Ok(Ports([7001, 7002, 7003])));
        assert_eq!("0,0,0".parse(), Ok(Ports([0, 0, 0])));
        for text in ["", "7001", "1,2,3,4", "1,2,x", "1,2,65536", "-1,2,3", "5,5,6"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }
}
