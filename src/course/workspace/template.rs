//! The texts of a new workspace.

use std::fmt::Write;

use crate::course::lesson::{self, Lesson};
use crate::language::Language;

/// `Cargo.toml` without binaries.
pub(super) const MANIFEST: &str = include_str!("template/Cargo.toml.in");

/// A file of a new workspace that is the same for everyone: its path, its text,
/// its permissions.
pub(in crate::course) const FIXED: &[(&str, &str, u32)] = &[
    // Exactly the versions that the course was tested with.
    ("Cargo.lock", include_str!("template/Cargo.lock.in"), 0o644),
    (".cargo/config.toml", include_str!("template/config.toml.in"), 0o644),
    (".cargo/cmake", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/.cargo/cmake")), 0o755),
    (".cargo/linker", include_str!("template/linker"), 0o755),
    (".gitignore", include_str!("template/gitignore"), 0o644),
    (".vscode/settings.json", include_str!("template/settings.json"), 0o644),
];

/// What to type, in the learner's language.
pub(super) fn readme(language: Language) -> &'static str {
    match language {
        Language::En => include_str!("template/README.md"),
        Language::Zh => include_str!("template/README.zh.md"),
    }
}

/// `Cargo.toml`, with a binary for each stage.
pub(in crate::course) fn manifest<'a>(
    stages: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut text = MANIFEST.to_owned();
    stages.into_iter().for_each(|(name, path)| add_binary(&mut text, name, &path));
    text
}

fn add_binary(manifest: &mut String, name: &str, path: &str) {
    let _ = write!(manifest, "\n[[bin]]\nname = \"{name}\"\npath = \"{path}\"\n");
}

/// The guide: the course's own in Chinese; in English a list of the stages that
/// this program has, with a box for each check.
pub(in crate::course) fn guide(language: Language) -> String {
    match language {
        Language::Zh => include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/TODO.md")).to_owned(),
        Language::En => english_guide(lesson::all()),
    }
}

fn english_guide(lessons: &[Lesson]) -> String {
    let mut text = "# A load balancer on Pingora, stage by stage\n\n\
        A box is ticked when its check is passed. What you write here yourself stays.\n"
        .to_owned();
    for lesson in lessons {
        let (number, name) = lesson.id().split_once('-').unwrap_or((lesson.id(), ""));
        let (title, goal) = (&lesson.title.en, &lesson.goal.en);
        let _ = write!(text, "\n## {number} {name}: {title}\n\n{goal}\n\n");
        let _ = write!(text, "About {} minutes. You will meet:\n\n", lesson.minutes);
        for concept in &lesson.concepts.en {
            let _ = writeln!(text, "* {concept}");
        }
        text.push('\n');
        for check in &lesson.checks {
            let _ = writeln!(text, "- [ ] `{}` {}", check.id, check.title.en);
        }
    }
    text
}
