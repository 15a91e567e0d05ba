//! The corpus of the fuzz targets, through the same checks (`tests/fuzz/run` looks
//! for more).

#[path = "../fuzz/checks.rs"]
mod checks;

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// How long each check is given inputs that are like those of its corpus. They are
/// the same each time, as far as it gets.
fn length() -> Duration {
    let seconds = std::env::var("PINGORA_LAB_STRESS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4)) / 8
}

/// A check, with the files of its corpus, the beginnings of each (a file that is cut
/// off anywhere is as bad as any), and what becomes of them by chance.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut corpus = Vec::new();
    for entry in folder.read_dir().expect("a corpus") {
        corpus.push(std::fs::read(entry.expect("an entry").path()).expect("a file"));
    }
    corpus.sort();
    for bytes in &corpus {
        for length in 0..=bytes.len() {
            examine(check, &bytes[..length]);
        }
    }
    let mut random = StdRng::seed_from_u64(0);
    let end = Instant::now() + length();
    while Instant::now() < end {
        examine(check, &changed(&corpus, &mut random));
    }
}

/// Shows what a check fails on.
fn examine(check: fn(&[u8]), bytes: &[u8]) {
    if catch_unwind(|| check(bytes)).is_err() {
        panic!("it fails on:\n{}\nwhich is {bytes:?}", String::from_utf8_lossy(bytes));
    }
}

/// One of the files with a few changes: bytes that are other ones, go, or are there
/// twice, and pieces of another file.
fn changed(corpus: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = corpus.choose(random).expect("a file").clone();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let upto = random.random_range(at..=bytes.len().min(at + 12));
        match random.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..upto)),
            2 => {
                let again = bytes[at..upto].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = corpus.choose(random).expect("a file");
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len().min(from + 20));
                bytes.splice(at..upto, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn configurations() {
    replay("configuration", checks::configuration);
}

#[test]
fn the_examples_of_the_documentation_are_written_down_as_themselves() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let blocks = text.split("```toml\n").skip(1);
    let examples: Vec<_> = blocks.filter_map(|block| block.split("```").next()).collect();
    assert!(!examples.is_empty());
    examples.iter().for_each(|example| checks::configuration(example.as_bytes()));
}

#[test]
fn paths() {
    replay("path", checks::path);
}

#[test]
fn hosts() {
    replay("host", checks::host);
}

#[test]
fn chunks() {
    replay("chunks", checks::chunks);
}

#[test]
fn templates() {
    replay("template", checks::template);
}

#[test]
fn forwarded_fields() {
    replay("forwarded", checks::forwarded);
}

#[test]
fn files_of_users() {
    replay("htpasswd", checks::htpasswd);
}

#[test]
fn sets_of_keys() {
    replay("jwks", checks::jwks);
}

#[test]
fn tokens() {
    replay("token", checks::token);
}

/// Every target has its check and its corpus here.
#[test]
fn no_target_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/targets");
    let own = include_str!("fuzz.rs");
    for entry in folder.read_dir().expect("the targets") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let target = name.strip_suffix(".rs").expect("a Rust file");
        assert!(own.contains(&format!("replay(\"{target}\", checks::{target})")), "{target}");
    }
}
