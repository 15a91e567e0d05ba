//! A running `pingora-lab serve`.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use super::Program;

/// A load balancer on a free port, with its log as JSON.
pub struct Balancer {
    program: Program,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Balancer {
    /// Over these backends (`NAME=HOST:PORT` or `HOST:PORT`), with more flags.
    pub fn over(backends: &[String], flags: &[&str]) -> Self {
        let backends = backends.join(",");
        let mut args = vec!["--backends", &backends];
        args.extend(flags);
        Self::start(&args)
    }

    /// With the settings of a file's text.
    pub fn configured(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("the temporary file is written");
        Self::start(&["--config", file.path().to_str().expect("a UTF-8 path")])
    }

    /// With the settings of a file, which stays for the whole time and names its
    /// listeners itself. Returns the addresses of all.
    pub fn listening(file: &std::path::Path) -> (Self, Vec<SocketAddr>) {
        Self::listening_with(file, &[])
    }

    /// The same, with more flags.
    pub fn listening_with(file: &std::path::Path, flags: &[&str]) -> (Self, Vec<SocketAddr>) {
        let text = std::fs::read_to_string(file).expect("the file");
        let listeners = text.matches("[[listener]]").count();
        let file = file.to_str().expect("a UTF-8 path");
        let program =
            Program::start(["serve", "--log", "json", "--config", file].iter().chain(flags));
        let mut addresses = Vec::new();
        let found = std::cell::RefCell::new(&mut addresses);
        program.stderr_line(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            if event["message"] == "listening" {
                found.borrow_mut().push(event["address"].as_str()?.parse().ok()?);
            }
            (found.borrow().len() == listeners).then_some(())
        });
        (Self { program, address: addresses[0] }, addresses)
    }

    /// With these flags.
    pub fn start(flags: &[&str]) -> Self {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--log", "json"];
        args.extend(flags);
        let program = Program::start(args);
        let address = program.stderr_line(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["message"] == "listening").then(|| event["address"].as_str()?.parse().ok())?
        });
        Self { program, address }
    }

    /// The first event of the log for which `find` returns something.
    pub fn event<T>(&self, find: impl Fn(&Value) -> Option<T>) -> T {
        self.program.stderr_line(|line| find(&serde_json::from_str(line).ok()?))
    }

    /// Waits until the health check has said this of a backend.
    pub fn wait_for_health(&self, backend: &str, message: &str) {
        self.event(|event| {
            (event["target"] == "health"
                && event["backend"] == backend
                && event["message"] == message)
                .then_some(())
        });
    }

    /// The access-log line of the request with this id.
    pub fn access(&self, request_id: &str) -> Value {
        self.event(|event| {
            (event["target"] == "access" && event["request_id"] == request_id)
                .then(|| event.clone())
        })
    }

    /// Sends a signal and waits for the end: exit code and how long it took.
    pub fn end_with(mut self, signal: i32) -> (Option<i32>, Duration) {
        let begun = std::time::Instant::now();
        self.program.signal(signal);
        let status = self.program.wait();
        (status.code(), begun.elapsed())
    }

    /// The program alone, to be waited for with all that it says.
    pub fn into_program(self) -> Program {
        self.program
    }

    /// The program, to wait for or signal in other ways.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Deref for Balancer {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}
