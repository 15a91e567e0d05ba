//! What every check can find: a program that does not start, does not live, or
//! does not answer.

use std::fmt::Display;
use std::net::SocketAddr;

use serde_json::Value;

use super::client::{NoTls, Request, Trouble, http2};
use super::diagnosis::{Diagnosis, Finding};
use super::program::{ExitKind, Output, PanicLine, StartFailure};

/// Another process has the port that was chosen for the program.
pub const PORT_TAKEN: &str = "port-taken";

/// The program does what its environment says, and not what its file does.
pub const FILE_IGNORED: &str = "file-ignored";

/// The diagnoses that every check can come to. Those of a single request's way
/// through the program are among them (see [`super::exchange`]).
pub const DIAGNOSES: &[&str] = &[
    // It does not start.
    "cannot-start",
    "exited-at-once",
    "panicked-at-start",
    "runtime-in-runtime",
    "listens-elsewhere",
    "never-listened",
    // It does not live.
    "program-ended",
    "out-of-memory",
    "too-many-processes",
    // It does not answer.
    "request-panicked",
    "no-longer-listens",
    "empty-reply",
    "connection-reset",
    "no-answer",
    "incomplete-answer",
    "answer-not-http",
    "answer-framing",
    "tls-handshake-failed",
    "http2-failed",
    // It does not forward.
    "not-written-yet",
    "answered-without-backend",
    "backend-never-tried",
    "tls-to-plain-backend",
    "not-http-to-backend",
    "sent-twice",
    // It changes what it forwards.
    "method-changed",
    "path-changed",
    "query-changed",
    "request-header-changed",
    "request-body-changed",
    "status-changed",
    "answer-header-changed",
    "answer-body-changed",
    // It does not read its file, refuses one that is right, or does not refuse a wrong one
    // as it should.
    FILE_IGNORED,
    "good-file-refused",
    "crashes-on-bad-file",
    "exit-code-zero",
    "neither-runs-nor-ends",
    "message-on-stdout",
    "file-not-named",
    "line-not-named",
    "wrong-line",
    "listened-before-refusing",
    // Nothing was shown about it.
    PORT_TAKEN,
    "no-such-address",
    "machine-too-slow",
    "out-of-time",
    "our-error",
    "command-does-not-fit",
];

/// What a Rust program says that starts a runtime inside another, as Pingora's
/// `run_forever` does under `#[tokio::main]`.
const RUNTIME_IN_RUNTIME: [&str; 2] = [
    "Cannot start a runtime from within a runtime",
    "Cannot drop a runtime in a context where blocking is not allowed",
];

/// How many lines of its output are shown.
const LINES: usize = 12;

/// The judge itself failed: nothing is said about the program.
pub fn our_error(what: &str, error: &dyn Display) -> Finding {
    Diagnosis::new("our-error").with("reason", format!("{what}: {error}")).inconclusive()
}

/// The finding for a program that does not listen.
pub fn start_failure(failure: StartFailure, told: SocketAddr) -> Finding {
    let inconclusive = failure.is_inconclusive();
    let diagnosis = match failure {
        StartFailure::ExitedAtOnce { exit, panic, last_lines } => exited(exit, panic, &last_lines),
        StartFailure::ListensElsewhere { told, found } => {
            let all: Vec<_> = found.iter().map(ToString::to_string).collect();
            let diagnosis = Diagnosis::new("listens-elsewhere").compared(told, all.join(", "));
            // Where there are several, one may have been longer in coming.
            if found.len() > 1 { diagnosis.timed() } else { diagnosis }
        }
        StartFailure::NeverListened { after, last_lines } => Diagnosis::new("never-listened")
            .with("expected", format!("a listener on {told}"))
            .with("address", told.to_string())
            .with("seconds", after.as_secs())
            .with("output", last_lines)
            .timed(),
        StartFailure::PortTaken { address, holder } => {
            Diagnosis::new(PORT_TAKEN).with("address", address.to_string()).with(
                "holder",
                holder.map_or_else(
                    || "?".to_owned(),
                    |one| format!("{} (pid {})", one.name, one.pid),
                ),
            )
        }
        StartFailure::CannotStart { reason } => {
            Diagnosis::new("cannot-start").with("reason", reason)
        }
        StartFailure::OutOfMemory { last_lines } => {
            Diagnosis::new("out-of-memory").with("output", last_lines)
        }
        StartFailure::TooManyProcesses { count } => {
            Diagnosis::new("too-many-processes").with("count", count)
        }
        StartFailure::Judge { reason } => Diagnosis::new("our-error").with("reason", reason),
    };
    if inconclusive { diagnosis.inconclusive() } else { diagnosis.fail() }
}

fn exited(exit: ExitKind, panic: Option<PanicLine>, last_lines: &[String]) -> Diagnosis {
    let id = match &panic {
        Some(panic) if RUNTIME_IN_RUNTIME.iter().any(|words| panic.message.contains(words)) => {
            "runtime-in-runtime"
        }
        Some(_) => "panicked-at-start",
        None => "exited-at-once",
    };
    with_panic(Diagnosis::new(id), panic)
        .with("exit", exit.to_string())
        .with("output", last_lines.to_vec())
}

/// The finding for a program that has ended while it was needed.
pub fn ended(exit: ExitKind, output: &Output) -> Finding {
    let panic = PanicLine::find(&output.stderr.text());
    let diagnosis = with_panic(Diagnosis::new("program-ended"), panic);
    diagnosis.with("exit", exit.to_string()).with("output", output.last_lines(LINES)).fail()
}

fn with_panic(diagnosis: Diagnosis, panic: Option<PanicLine>) -> Diagnosis {
    let (message, location) = match panic {
        Some(panic) => (Value::from(panic.message), Value::from(panic.location)),
        None => (Value::Null, Value::Null),
    };
    diagnosis.with("panic", message).with("location", location)
}

/// The finding for a request that was not answered.
pub fn trouble(trouble: &Trouble, request: &Request, output: &Output) -> Finding {
    let panic = PanicLine::find(&output.stderr.text());
    let cut_off = matches!(
        trouble,
        Trouble::EmptyReply
            | Trouble::Reset
            | Trouble::Incomplete { .. }
            | Trouble::NoTls(NoTls::Ended)
            | Trouble::Http2(_)
    );
    let diagnosis = match (trouble, panic) {
        // The runtime catches the panic of a task: the program lives on, the
        // request does not.
        (_, Some(panic)) if cut_off => with_panic(Diagnosis::new("request-panicked"), Some(panic))
            .with("trouble", trouble.to_string()),
        (Trouble::Refused, _) => Diagnosis::new("no-longer-listens"),
        (Trouble::EmptyReply, _) => Diagnosis::new("empty-reply"),
        (Trouble::Reset, _) => Diagnosis::new("connection-reset"),
        (Trouble::NoAnswer { after } | Trouble::ConnectTimedOut { after }, _) => {
            Diagnosis::new("no-answer").with("seconds", after.as_secs()).timed()
        }
        (Trouble::Incomplete { .. }, _) => Diagnosis::new("incomplete-answer").timed(),
        (Trouble::NotHttp { .. }, _) => Diagnosis::new("answer-not-http"),
        (Trouble::Framing { .. }, _) => Diagnosis::new("answer-framing"),
        (Trouble::NoTls(why), _) => {
            let found = Diagnosis::new("tls-handshake-failed").with("reason", why.to_string());
            if matches!(why, NoTls::PatienceOver(_)) { found.timed() } else { found }
        }
        (Trouble::Http2(how), _) => {
            let found = Diagnosis::new("http2-failed").with("reason", how.as_str());
            if how == http2::PATIENCE_OVER { found.timed() } else { found }
        }
        (Trouble::NoSuchAddress { from, reason }, _) => {
            return Diagnosis::new("no-such-address")
                .with("address", from.to_string())
                .with("reason", reason.as_str())
                .inconclusive();
        }
        (Trouble::Connect(reason), _) => return our_error("no connection to the program", reason),
    };
    let asked = format!("{} {}", request.method, request.target);
    diagnosis
        .compared(format!("an answer to {asked}"), trouble)
        .with("request", asked)
        .with("output", output.last_lines(LINES))
        .fail()
}

/// Commands that send a request by hand, the program in one terminal and the
/// client in another.
pub fn by_hand(stage: &str, request: &Request) -> Vec<String> {
    let mut curl = vec!["curl".to_owned(), "-i".to_owned()];
    match request.method.as_str() {
        "GET" => {}
        "HEAD" => curl[1] = "-I".to_owned(),
        method => curl.extend(["-X".to_owned(), method.to_owned()]),
    }
    if request.target.contains("/.") || request.target.to_ascii_lowercase().contains("%2e") {
        // Else curl resolves dot segments itself, and newer ones also those that are encoded.
        curl.push("--path-as-is".to_owned());
    }
    if request.target.contains(['{', '}', '[', ']']) {
        // Else curl takes them for a pattern.
        curl.push("--globoff".to_owned());
    }
    if request.minor_version == 0 {
        curl.push("--http1.0".to_owned());
    }
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        // Else curl names the address.
        curl.extend(["-H".to_owned(), "Host:".to_owned()]);
    }
    for (name, value) in &request.headers {
        // The program listens elsewhere then.
        let its_address = String::from_utf8_lossy(value).parse::<SocketAddr>().is_ok();
        if !(name.eq_ignore_ascii_case("host") && its_address) {
            let field = format!("{name}: {}", String::from_utf8_lossy(value));
            curl.extend(["-H".to_owned(), field]);
        }
    }
    if request.has_body() {
        // The bytes of the check are not text; any will do to see the same.
        curl.extend(["--data-binary".to_owned(), "some bytes".to_owned()]);
    }
    curl.push(format!("http://127.0.0.1:6188{}", request.target));
    vec![format!("pingora-lab run {stage}"), shell_words::join(curl)]
}
