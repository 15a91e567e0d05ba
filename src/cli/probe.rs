//! `pingora-lab probe`.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::anyhow;

use super::{Exit, Global, UsageError};
use crate::probe::{self, Format, Order, Plan, View};

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Args {
    /// Where to send; http:// if no scheme is given
    #[arg(default_value = "http://127.0.0.1:6188/")]
    url: String,

    /// Requests to send [default: 10, or without limit with --duration]
    #[arg(short = 'n', long)]
    count: Option<u64>,

    /// Begin new requests for so long, such as 10s or 2m
    #[arg(short, long, value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Option<Duration>,

    /// Requests under way at a time, each over a connection of its own
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    concurrency: u32,

    /// Requests to begin per second [default: as fast as they are answered]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// The method [default: POST with --data, else GET]
    #[arg(short = 'X', long)]
    method: Option<String>,

    /// A header to send; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The body to send: TEXT, @FILE, or @- for standard input
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,

    /// The Host to ask for (:authority in HTTP/2) [default: that of the URL]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Speak HTTP/2: with prior knowledge over http://, by ALPN over https://
    #[arg(long)]
    http2: bool,

    /// Accept any certificate
    #[arg(short = 'k', long)]
    insecure: bool,

    /// Time limit of one request, connecting and reading the body included
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    /// Fetch the same from the backend at this URL, and compare the headers of its answer
    #[arg(long, value_name = "URL")]
    direct: Option<String>,

    /// Open a new connection for every request
    #[arg(long)]
    no_keepalive: bool,

    /// Exit with 1 also if an answer's status is 400 or above
    #[arg(long)]
    fail: bool,

    /// The shape of the report
    #[arg(long, default_value = "table")]
    format: Format,
}

const AFTER_HELP: &str = "\
Exit code: 0 every request got a complete answer, 1 some did not, 2 the order makes no sense.";

pub(super) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let language = global.language();
    let format = args.format;
    let fail = args.fail;
    let plan = Plan::new(args.into()).map_err(|error| UsageError(error.text(language)))?;
    let view = View { format, language, width: terminal_width() };
    let listens = probe::nothing_listens(&plan, language);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let finished =
        runtime.block_on(probe::run(plan, view)).map_err(|error| anyhow!(error.text(language)))?;
    if finished.nothing_listens() {
        return Err(anyhow!(listens));
    }
    let tally = &finished.tally;
    let error_status = fail && tally.error_statuses() > 0;
    let nothing_done = tally.sent() == 0;
    let failed = tally.failed > 0 || error_status || nothing_done;
    Ok(if failed { Exit::Failed } else { Exit::Good })
}

/// The terminal's columns, or none where nobody reads in columns.
fn terminal_width() -> Option<usize> {
    let stdout = std::io::stdout();
    let columns = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    // A terminal that does not know its size says 0.
    columns.filter(|columns| *columns > 0 && stdout.is_terminal())
}

impl From<Args> for Order {
    fn from(args: Args) -> Self {
        Self {
            url: args.url,
            count: args.count,
            duration: args.duration,
            concurrency: args.concurrency,
            rate: args.rate,
            method: args.method,
            headers: args.headers,
            data: args.data,
            host: args.host,
            http2: args.http2,
            insecure: args.insecure,
            timeout: args.timeout,
            direct: args.direct,
            keep_alive: !args.no_keepalive,
        }
    }
}
