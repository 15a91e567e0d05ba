//! The lessons that this program carries.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{DiagnosisText, Lesson};

/// A right solution unlike the stage's own.
#[derive(Clone, Copy, Debug)]
pub struct Alternative {
    /// Its name: that of its file in `alternatives/`, without `.rs`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The files of one lesson's folder.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Files {
    pub(super) id: &'static str,
    pub(super) lesson: &'static str,
    pub(super) readme_en: &'static str,
    pub(super) readme_zh: &'static str,
    pub(super) starter: &'static str,
    pub(super) solution: &'static str,
    pub(super) mistakes: &'static str,
    pub(super) alternatives: &'static [Alternative],
}

/// A file under `lessons/`.
macro_rules! lesson_file {
    ($($part:expr),+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lessons/", $($part),+))
    };
}

macro_rules! lessons {
    ($($id:literal [$($alternative:literal),* $(,)?])+) => {
        &[$(Files {
            id: $id,
            lesson: lesson_file!($id, "/lesson.toml"),
            readme_en: lesson_file!($id, "/README.md"),
            readme_zh: lesson_file!($id, "/README.zh.md"),
            starter: lesson_file!($id, "/starter.rs"),
            solution: lesson_file!($id, "/solution.rs"),
            mistakes: lesson_file!($id, "/mistakes.toml"),
            alternatives: &[$(Alternative {
                name: $alternative,
                text: lesson_file!($id, "/alternatives/", $alternative, ".rs"),
            }),*],
        }),+]
    };
}

/// Every stage, with the names of its alternative solutions.
const FILES: &[Files] = lessons! {
    "01-first-proxy" ["load_balancer", "modules"]
    "02-round-robin" ["counter", "discovery"]
    "03-health-checks" ["own_check", "own_loop"]
    "04-request-headers" ["modules", "own_choice"]
    "05-response-headers" ["modules", "own_choice"]
    "06-failures" ["own_pool", "safe_again"]
    "07-path-routing" ["resolved_path", "route_table"]
    "08-access-log" ["log_thread", "own_record"]
    "09-configuration" ["all_at_once", "own_types"]
    "10-rate-limiting" ["token_bucket", "two_windows"]
    "11-weighted" ["deadlines", "table"]
    "12-circuit-breaker" ["book", "packed"]
    "13-consistent-hashing" ["own_ring", "rendezvous"]
    "14-timeouts-and-pooling" ["rounds", "select"]
    "15-tls-termination" ["own_listener", "per_listener"]
    "16-authentication" ["at_the_door", "step_by_step"]
    "17-metrics" ["by_hand", "own_page"]
    "18-hot-reload" ["channel_and_register", "thread_and_lock"]
    "19-graceful-upgrade" ["own_signals", "phases"]
    "22-graduation" ["deadlines_and_buckets", "ring_and_phases"]
};

/// What the judge's facts are in Chinese.
pub(super) const WORDS: &str = lesson_file!("words.toml");

static LESSONS: LazyLock<Vec<Lesson>> = LazyLock::new(|| {
    let read = |files: &Files| match toml::from_str::<Lesson>(files.lesson) {
        Ok(lesson) => Lesson { files: *files, ..lesson },
        // The text is part of this program, and a test reads all of them.
        Err(error) => panic!("lessons/{}/lesson.toml: {error}", files.id),
    };
    FILES.iter().map(read).collect()
});

static COMMON: LazyLock<BTreeMap<String, DiagnosisText>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Common {
        diagnosis: BTreeMap<String, DiagnosisText>,
    }
    match toml::from_str::<Common>(lesson_file!("common.toml")) {
        Ok(common) => common.diagnosis,
        Err(error) => panic!("lessons/common.toml: {error}"),
    }
});

/// Every stage's lesson, in the order of the course.
pub fn all() -> &'static [Lesson] {
    &LESSONS
}

/// The stage that a person names: by its id (`01-first-proxy`), its number (`1`,
/// `01`), its name (`first-proxy`), or both (`1-first-proxy`).
pub fn find(name: &str) -> Option<&'static Lesson> {
    let number = name.parse::<u32>().ok();
    let both = name.split_once('-').and_then(|(number, bare)| Some((number.parse().ok()?, bare)));
    all().iter().find(|lesson| {
        let bare = lesson.id().split_once('-').map_or("", |(_, bare)| bare);
        bare == name || number == Some(lesson.number()) || both == Some((lesson.number(), bare))
    })
}

/// What to say to a diagnosis that every stage can meet.
pub fn common_diagnosis(id: &str) -> Option<&'static DiagnosisText> {
    COMMON.get(id)
}

/// The ids of the diagnoses that every stage can meet.
pub fn common_diagnoses() -> impl Iterator<Item = &'static str> {
    COMMON.keys().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The names in a folder of the checkout that end so, without the ending.
    fn names(folder: &Path, ending: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect();
        names.sort();
        names
    }

    #[test]
    fn every_lesson_of_the_checkout_is_in_the_table_with_all_its_alternatives() {
        let lessons = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons");
        let folders: Vec<_> = names(&lessons, "")
            .into_iter()
            .filter(|name| lessons.join(name).join("lesson.toml").is_file())
            .collect();
        assert_eq!(folders, all().iter().map(Lesson::id).collect::<Vec<_>>());
        for lesson in all() {
            let files = names(&lessons.join(lesson.id()).join("alternatives"), ".rs");
            let mut table: Vec<_> = lesson.alternatives().iter().map(|a| a.name).collect();
            table.sort_unstable();
            assert_eq!(files, table, "{}", lesson.id());
        }
    }

    #[test]
    fn the_common_texts_are_complete() {
        for (id, text) in COMMON.iter() {
            for both in [&text.what, &text.why, &text.next] {
                assert!(both.is_complete(), "{id}: {both:?}");
            }
        }
    }

    #[test]
    fn a_stage_is_found_by_its_id_its_number_and_its_name() {
        for name in ["01-first-proxy", "1-first-proxy", "1", "01", "first-proxy"] {
            assert_eq!(find(name).map(Lesson::id), Some("01-first-proxy"), "{name}");
        }
        for name in ["", "0", "first", "-1", "01-first", "2-first-proxy", "-first-proxy"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
