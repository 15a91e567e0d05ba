//! What cargo prints, understood.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use serde::Deserialize;

use super::{Event, Failure};

/// What the compiler says about a place in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is compiled: a stage's id, or the name of a crate that it needs.
    pub target: String,
    /// How bad it is.
    pub level: Level,
    /// As the compiler shows it, on several lines, with colours if asked for.
    pub rendered: String,
    /// In one line.
    pub summary: String,
    /// Where, if anywhere.
    pub place: Option<Place>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// There will be no program.
    Error,
    /// There will be one.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, from the workspace's folder.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

/// How many lines are kept of what cargo says, for the case that it fails.
const KEPT: usize = 400;

/// What is known of a build while it runs.
pub(super) struct Messages {
    stages: Vec<Stage>,
    /// Errors in what all stages need.
    errors: usize,
    said: VecDeque<String>,
    last: Option<Event>,
}

/// What is known of one of the stages.
struct Stage {
    id: String,
    program: Option<(PathBuf, bool)>,
    errors: usize,
}

impl Messages {
    pub(super) fn new(stages: Vec<String>) -> Self {
        let stage = |id| Stage { id, program: None, errors: 0 };
        let stages = stages.into_iter().map(stage).collect();
        Self { stages, errors: 0, said: VecDeque::new(), last: None }
    }

    /// One message in JSON.
    pub(super) fn message(&mut self, line: &str) -> Option<Event> {
        match serde_json::from_str(line).ok()? {
            Message::Artifact { target, executable: Some(program), fresh } => {
                if let Some(stage) = self.stage(&target.name) {
                    stage.program = Some((program, fresh));
                }
                None
            }
            Message::Said { target, message } => {
                let diagnostic = message.diagnostic(target.name)?;
                self.count(&diagnostic);
                Some(Event::Diagnostic(diagnostic))
            }
            Message::Artifact { .. } | Message::Other => None,
        }
    }

    /// One line that a person would read.
    pub(super) fn status(&mut self, line: &str) -> Option<Event> {
        let line = line.trim();
        let event = match line.split_once(' ') {
            Some(("Building", rest)) => compiling(rest),
            Some(("Blocking", _)) => Some(Event::Waiting),
            Some(("Downloading" | "Downloaded" | "Updating" | "Fetch", _)) => {
                Some(Event::Downloading)
            }
            _ => {
                self.keep(line);
                None
            }
        };
        // Cargo draws the same again and again.
        let event = event.filter(|event| self.last.as_ref() != Some(event))?;
        self.last = Some(event.clone());
        Some(event)
    }

    fn count(&mut self, diagnostic: &Diagnostic) {
        if diagnostic.level != Level::Error {
            return;
        }
        match self.stage(&diagnostic.target) {
            Some(stage) => stage.errors += 1,
            None => self.errors += 1,
        }
        // An error without a place is rarely the code's: no linker, a full disk.
        if diagnostic.place.is_none() {
            diagnostic.rendered.lines().for_each(|line| self.keep(line.trim()));
        }
    }

    fn stage(&mut self, target: &str) -> Option<&mut Stage> {
        self.stages.iter_mut().find(|stage| stage.id == target)
    }

    fn keep(&mut self, line: &str) {
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        if !line.is_empty() {
            self.said.push_back(line.to_owned());
        }
    }

    /// The last events: one for each stage.
    pub(super) fn end(self, status: io::Result<ExitStatus>) -> Vec<Event> {
        let all_built = status.as_ref().is_ok_and(ExitStatus::success);
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said: Vec<_> = self.said.into();
        let several = self.stages.len() > 1;
        let end = |stage: Stage| match stage.program {
            // Where another has failed, cargo has too.
            Some((program, fresh)) if all_built || several => Event::Built { program, fresh },
            _ => Event::Failed(Failure::of_end(self.errors + stage.errors, &said, status.clone())),
        };
        self.stages.into_iter().map(end).collect()
    }
}

/// Cargo's progress: `[====>    ] 45/238: bytes, http`.
fn compiling(rest: &str) -> Option<Event> {
    let (_, rest) = rest.split_once("] ")?;
    let (count, names) = rest.split_once(':').unwrap_or((rest, ""));
    let (done, total) = count.split_once('/')?;
    let (done, total) = (done.trim().parse().ok()?, total.trim().parse().ok()?);
    Some(Event::Compiling { names: names.trim().to_owned(), done, total })
}

#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact { target: Target, executable: Option<PathBuf>, fresh: bool },
    #[serde(rename = "compiler-message")]
    Said {
        #[serde(default)]
        target: Target,
        message: CompilerMessage,
    },
    #[serde(other)]
    Other,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct CompilerMessage {
    level: String,
    message: String,
    rendered: Option<String>,
    code: Option<serde::de::IgnoredAny>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: PathBuf,
    line_start: usize,
    column_start: usize,
    is_primary: bool,
}

impl CompilerMessage {
    fn diagnostic(self, target: String) -> Option<Diagnostic> {
        let level = match self.level.as_str() {
            // An internal error has a longer name.
            level if level.starts_with("error") => Level::Error,
            "warning" => Level::Warning,
            _ => return None,
        };
        // "aborting due to 2 previous errors", "3 warnings emitted".
        let counts = self.message.starts_with("aborting due to")
            || level == Level::Warning && self.message.ends_with(" emitted");
        if counts && self.code.is_none() && self.spans.is_empty() {
            return None;
        }
        let span = self.spans.into_iter().find(|span| span.is_primary);
        let place = span.map(|span| Place {
            file: span.file_name,
            line: span.line_start,
            column: span.column_start,
        });
        let rendered = self.rendered.unwrap_or_else(|| self.message.clone());
        Some(Diagnostic { target, level, rendered, summary: self.message, place })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use serde_json::json;

    use super::super::Trouble;
    use super::*;

    #[test]
    fn progress_is_cargos_own_count() {
        let mut messages = Messages::new(vec!["s".to_owned()]);
        let line = "    Building [======>                  ]  45/238: bytes, http(build)";
        let (names, done, total) = ("bytes, http(build)".to_owned(), 45, 238);
        assert_eq!(messages.status(line), Some(Event::Compiling { names, done, total }));
        assert_eq!(messages.status(line), None, "the same again");
        assert_eq!(
            messages.status("    Blocking waiting for file lock on build directory"),
            Some(Event::Waiting)
        );
        assert_eq!(messages.status("   Compiling bytes v1.0.0"), None);
    }

    #[test]
    fn an_error_without_a_place_says_what_the_machine_lacks() {
        for (rendered, trouble) in [
            ("error: failed to write x: No space left on device (os error 28)", Trouble::DiskFull),
            ("error: linking failed\n = note: no C compiler was found\n", Trouble::NoCompiler),
            ("error: `main` function not found", Trouble::Errors(1)),
        ] {
            let message = json!({"level": "error", "message": "m", "rendered": rendered,
                "code": null, "spans": []});
            let line = json!({"reason": "compiler-message", "message": message}).to_string();
            let mut messages = Messages::new(vec!["s".to_owned()]);
            assert!(matches!(messages.message(&line), Some(Event::Diagnostic(_))));
            let end = messages.end(Ok(ExitStatus::from_raw(101 << 8)));
            let [Event::Failed(failure)] = end.as_slice() else { panic!("{end:?}") };
            assert_eq!(failure.trouble, trouble);
        }
    }
}
