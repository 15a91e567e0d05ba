//! How many requests, how many at a time, and how fast.

use std::sync::{Arc, Barrier};

use serde_json::{Value, json};

use super::origin::{Origin, proxied, response};
use super::{json, probe};
use crate::support::Program;

#[test]
fn concurrent_requests_are_under_way_at_the_same_time() {
    // Nobody is answered before four are there; one at a time would time out.
    let barrier = Arc::new(Barrier::new(4));
    let origin = Origin::answering(move |request| {
        barrier.wait();
        proxied("a", request)
    });
    let (code, document) = json(&["--count", "12", "--concurrency", "4", &origin.url("/")]);
    assert_eq!((code, &document["summary"]["succeeded"]), (0, &json!(12)));
    let numbers: Vec<_> = document["requests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|request| request["number"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
}

#[test]
fn a_rate_is_not_exceeded() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let (_, document) = json(&["--count", "11", "--rate", "50", &origin.url("/")]);
    // The eleventh is due after ten fiftieths of a second.
    let elapsed = document["summary"]["elapsed_ms"].as_f64().expect("a number");
    assert!(elapsed >= 200.0, "{elapsed}");
    assert_eq!(document["summary"]["sent"], 11);
}

#[test]
fn a_duration_ends_the_batch() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let (code, document) = json(&["--duration", "300ms", "--rate", "100", &origin.url("/")]);
    let summary = &document["summary"];
    assert_eq!(code, 0);
    assert!(summary["elapsed_ms"].as_f64().expect("a number") >= 290.0, "{summary}");
    let sent = summary["sent"].as_u64().expect("a number");
    assert!((1..=30).contains(&sent), "{sent}");
    assert_eq!(document["requests"].as_array().map(Vec::len), usize::try_from(sent).ok());
}

#[test]
fn of_count_and_duration_the_first_reached_ends_the_batch() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let (_, document) = json(&["--count", "3", "--duration", "1h", &origin.url("/")]);
    assert_eq!(document["summary"]["sent"], 3);
}

#[test]
fn a_long_list_is_cut_in_the_table_and_whole_in_json() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let args = ["--count", "25", "--concurrency", "3", &origin.url("/")];
    let (_, stdout, _) = probe(&args);
    let listed = stdout.lines().filter(|line| line.trim_start().starts_with('#')).count();
    assert_eq!(listed, 20, "{stdout}");
    assert!(stdout.contains("… 5 more requests are not listed"), "{stdout}");
    let (_, document) = json(&args);
    assert_eq!(document["requests"].as_array().map(Vec::len), Some(25));
}

#[test]
fn ctrl_c_ends_the_batch_with_what_was_done() {
    for format in ["json", "table"] {
        let origin = Origin::script(|mut peer| {
            for _ in 0..3 {
                peer.receive();
                peer.send(&response("200 OK", &[], ""));
            }
            peer.receive();
            peer.hang();
        });
        let url = origin.url("/");
        let args = ["probe", "--lang", "en", "--format", format, "--timeout", "1h", &url];
        let program = Program::start(args);
        origin.wait_for(4);
        program.signal(libc::SIGINT);
        let (code, stdout, stderr) = program.finish();
        assert_eq!((code, stderr.as_str()), (0, ""));
        if format == "table" {
            assert!(stdout.contains("3 sent, 3 answered, 0 failed"), "{stdout}");
            assert!(stdout.contains("interrupted; 1 under way"), "{stdout}");
        } else {
            let document: Value = serde_json::from_str(&stdout).expect("a whole document");
            assert_eq!(document["summary"]["sent"], 3);
            assert_eq!(document["summary"]["interrupted"], true);
            assert_eq!(document["requests"].as_array().map(Vec::len), Some(3));
        }
    }
}
