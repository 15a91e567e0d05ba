//! The end that a person asks for while a command works.

use tokio::signal::unix::{SignalKind, signal};

/// The signal that asks this process to end, when it comes. Whoever waits for it
/// drops what it has begun, and so leaves neither a process nor a file.
///
/// # Errors
///
/// Where signals can't be waited for.
pub(super) async fn stopped() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
