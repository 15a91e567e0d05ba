//! Where events go: one line each on stderr, written by a thread of its own.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::LogFormat;

/// What is logged when `RUST_LOG` says nothing: everything of ours from `info`
/// on, of Pingora what our own lines do not say.
const DEFAULT_FILTER: &str = "info,pingora_core=warn,pingora_proxy=warn,pingora_load_balancing=error,pingora_core::services=error";

/// How long the end of the process waits for the log to be written out.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Keeps the log being written; on drop, what is queued is written out, unless
/// nobody reads it.
#[must_use]
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (written, wait) = mpsc::channel();
        // The guard itself waits for more than a second where stderr is a pipe
        // that is full; the thread ends with the process.
        thread::spawn(move || {
            drop(guard);
            let _ = written.send(());
        });
        let _ = wait.recv_timeout(LAST_WORDS);
    }
}

/// Starts the log of the process.
///
/// # Errors
///
/// `RUST_LOG` does not parse, or a log has been started before.
pub fn start(format: LogFormat, colour: Option<bool>) -> anyhow::Result<LogGuard> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(written) if !written.trim().is_empty() => EnvFilter::try_new(&written)
            .with_context(|| format!("RUST_LOG={written}: no log filter; write info or debug"))?,
        _ => EnvFilter::try_new(DEFAULT_FILTER).context("the default log filter")?,
    };
    // The queue drops lines rather than hold up requests when stderr is slower
    // than the traffic.
    let (writer, guard) = NonBlockingBuilder::default()
        .thread_name("log")
        .buffered_lines_limit(64 * 1024)
        .finish(std::io::stderr());
    let ansi = colour.unwrap_or_else(|| std::io::stderr().is_terminal() && may_colour());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Milliseconds)
        .with_writer(writer);
    let started = match format {
        LogFormat::Text => builder.with_ansi(ansi).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    Ok(LogGuard(Some(guard)))
}

/// Whether whoever runs the process has nothing against colours.
pub(super) fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// UTC to the millisecond (RFC 3339): finer than any two machines' clocks agree.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}
