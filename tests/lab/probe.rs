//! `pingora-lab probe` against servers that do exactly what each test says.

mod exit;
mod facts;
mod failures;
mod origin;
mod pace;
mod screen;
mod secure;
mod wire;

use serde_json::Value;

use crate::support::Program;

/// Runs the probe with these arguments, in English unless they say otherwise:
/// exit code, stdout, stderr.
fn probe(args: &[&str]) -> (i32, String, String) {
    Program::run(["probe"].iter().chain(args))
}

/// Runs the probe and reads its JSON: exit code and document.
fn json(args: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = probe(&[&["--format", "json"], args].concat());
    let document = serde_json::from_str(&stdout)
        .unwrap_or_else(|error| panic!("{error}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"));
    (code, document)
}

/// The only request of a batch of one.
fn only(document: &Value) -> &Value {
    let requests = document["requests"].as_array().expect("a list of requests");
    assert_eq!(requests.len(), 1);
    &requests[0]
}
