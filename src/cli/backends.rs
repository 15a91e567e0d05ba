//! `pingora-lab backends`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use anyhow::Context;
use colored::Colorize;
use comfy_table::{Table, presets};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use unicode_width::UnicodeWidthStr;

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

    let width = Table::new().width().map(usize::from);
    // Whoever read the output may have gone; the backends serve all the same.
    let _ = announce(&mut io::stdout().lock(), &backends.addresses(), language, width);

    signals.forever().next();
    backends.stop();
    Ok(Exit::Good)
}

/// Says what runs where, for a terminal this wide (columns) if it is one.
fn announce(
    out: &mut impl Write,
    addresses: &[(Site, SocketAddr)],
    language: Language,
    width: Option<usize>,
) -> io::Result<()> {
    let (title, headings, stop) = match language {
        Language::En => ("Lab backends running:", ["NAME", "ADDRESS", "TRY"], "Ctrl-C to stop."),
        Language::Zh => ("实验后端已启动：", ["名称", "地址", "试一试"], "按 Ctrl-C 停止。"),
    };
    writeln!(out, "{title}\n")?;
    let lines = columns(addresses, headings);
    let widest = lines.iter().map(|line| line.width()).max().unwrap_or_default();
    if width.is_none_or(|width| widest <= width) {
        for (number, line) in lines.iter().enumerate() {
            let line = if number == 0 { line.bold() } else { line.normal() };
            writeln!(out, "{line}")?;
        }
    } else {
        // Too narrow for a table: one under the other, commands on lines of
        // their own, so that they can still be copied whole.
        for (number, (site, address)) in addresses.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            writeln!(out, "{}\n  {address}\n  {}", site.name().bold(), example(*site, *address))?;
        }
    }
    writeln!(out, "\n{stop}")?;
    out.flush()
}

/// The table's lines, the first of them the headings.
fn columns(addresses: &[(Site, SocketAddr)], headings: [&str; 3]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for &(site, address) in addresses {
        table.add_row([site.name().to_owned(), address.to_string(), example(site, address)]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((2, 0));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
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

    #[test]
    fn columns_line_up_in_both_languages_and_fit_the_terminal() {
        let addresses: Vec<_> = Site::ALL
            .into_iter()
            .zip([6190, 6191, 61920])
            .map(|(site, port)| (site, SocketAddr::from(([127, 0, 0, 1], port))))
            .collect();
        for (language, heading) in [(Language::En, "ADDRESS"), (Language::Zh, "地址")] {
            let shown = |width| {
                let mut out = Vec::new();
                announce(&mut out, &addresses, language, width).unwrap();
                String::from_utf8(out).unwrap()
            };
            let wide = shown(None);
            let column = |text: &str| {
                let before = wide.lines().find_map(|line| line.split_once(text)).unwrap().0;
                before.width()
            };
            assert_eq!(column(heading), column("127.0.0.1:6191 "), "{wide}");
            let narrow = shown(Some(50));
            assert!(narrow.lines().all(|line| line.width() <= 50), "{narrow}");
        }
    }
}
