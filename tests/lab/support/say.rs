//! Words for whoever runs the tests.

use std::io::Write;

/// A line on stderr even where the test harness keeps the output of tests that
/// pass to itself: it captures `eprintln!`, not the stream.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
