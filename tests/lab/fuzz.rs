//! The corpus of the fuzz targets, through the same checks (`tests/fuzz/run` looks
//! for more).

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;

/// A check, with the files of its corpus and the beginnings of each: a file that is
/// cut off anywhere is as bad as any.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files = 0;
    for entry in folder.read_dir().expect("a corpus") {
        let file = entry.expect("an entry").path();
        let bytes = std::fs::read(&file).expect("a file");
        for length in 0..=bytes.len() {
            check(&bytes[..length]);
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
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
