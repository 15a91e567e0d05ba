//! The rooms call only those that the map in `src/lib.rs` lets them call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each room, and the rooms it may call, as the map says.
fn map() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    let names = |cell: &str| -> Vec<String> {
        cell.split("[`").skip(1).map(|rest| rest.split('`').next().unwrap().to_owned()).collect()
    };
    page.lines()
        .filter(|line| line.starts_with("//! | [`"))
        .map(|line| {
            let cells: Vec<_> = line.split(" | ").collect();
            let room = names(cells[1]).remove(0);
            let last = cells.last().expect("a last column");
            (room, if last.starts_with("every room") { vec!["*".to_owned()] } else { names(last) })
        })
        .collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files of a room: a folder or a single file.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("a room's folder");
    entries.flat_map(|entry| files(&entry.expect("an entry").path())).collect()
}

#[test]
fn no_room_calls_one_that_the_map_does_not_name() {
    let map = map();
    assert!(map.len() >= 7, "{map:?}");
    for (room, allowed) in &map {
        let folder = source().join(room);
        let place = if folder.is_dir() { folder } else { source().join(format!("{room}.rs")) };
        for file in files(&place) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            for other in map.keys().filter(|other| *other != room) {
                let called = text.contains(&format!("crate::{other}"));
                let fine = allowed.contains(other) || allowed == &["*"];
                assert!(!called || fine, "{} calls {other}", file.display());
            }
        }
    }
    // And the map names every room that there is.
    let page = std::fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    for room in page.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        assert!(map.contains_key(room.trim_end_matches(';')), "{room} is not on the map");
    }
}
