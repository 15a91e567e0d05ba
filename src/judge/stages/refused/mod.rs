//! A file that can't be used ends the program: soon, with an exit code, and with a
//! message that says which file and which line.

mod right_file;
mod unheard;
mod watch;
mod words;

pub use right_file::RightFile;
pub use unheard::{Heard, Kind, unheard};
pub use words::{Words, first_of};

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::{Diagnosis, Finding};
use crate::judge::program::{ExitKind, Output, PanicLine, Stay, wait_until_ended};
use crate::judge::scene::{Addresses, Scene};
use crate::judge::stage::Outcome;

/// How long a program may take to refuse a file.
pub const TO_REFUSE: Duration = Duration::from_secs(4);

/// A file that no program may start with.
#[derive(Clone, Debug)]
pub struct BadFile {
    /// The whole.
    pub file: ConfigFile,
    /// The lines of which one must be named; none where there is none to name.
    pub lines: Option<RangeInclusive<usize>>,
    /// What is wrong, as it stands in the file.
    pub wrong: String,
}

/// A run of the program with a bad file.
#[derive(Debug)]
pub struct Run {
    /// What became of it.
    pub stay: Stay,
    stage: &'static str,
    output: Output,
    at: Addresses,
    path: PathBuf,
}

/// Each of these files is refused as it should be.
///
/// # Errors
///
/// How one was not; `accepted` is what it is called where the program starts with it.
pub async fn each_refused(
    scene: &Scene,
    at: Addresses,
    accepted: &'static str,
    bad: Vec<BadFile>,
) -> Outcome {
    for bad in bad {
        bad.plan(scene);
        Run::of(scene, at, &scene.write(&bad.file)?).await?.refuses(accepted, &bad)?;
    }
    Ok(())
}

// === impl BadFile ===

impl BadFile {
    /// A file of which this one line is wrong.
    pub fn at(file: ConfigFile, line: usize) -> Self {
        let wrong = file.at(line).to_owned();
        Self { file, lines: Some(line..=line), wrong }
    }

    /// Notes what is wrong with it.
    pub fn plan(&self, scene: &Scene) {
        let line = self.lines.as_ref().map_or(0, |lines| *lines.start());
        scene.plan(format!("line {line}: {}", self.wrong));
    }

    /// Commands that show by hand what a program makes of it.
    pub fn by_hand(&self, stage: &str) -> Vec<String> {
        vec![
            self.file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {stage}; echo $?"),
        ]
    }
}

// === impl Run ===

impl Run {
    /// Runs the program with this file until it ends, or does not.
    ///
    /// # Errors
    ///
    /// It can't be run, or watched.
    pub async fn of(scene: &Scene, at: Addresses, path: &Path) -> Result<Self, Finding> {
        let program = scene.run_configured(at, path, &[], &[]).await?;
        let stay = wait_until_ended(&program, TO_REFUSE).await;
        let stay =
            stay.map_err(|reason| scene.our_error("the program was not watched", &reason))?;
        Ok(Self { stay, stage: scene.stage(), output: program.output(), at, path: path.to_owned() })
    }

    /// Whether it refused this file as it should.
    ///
    /// # Errors
    ///
    /// How it did not.
    pub fn refuses(&self, accepted: &'static str, bad: &BadFile) -> Outcome {
        self.refused(accepted, bad.lines.as_ref()).map_err(|finding| {
            finding.map(|found| {
                let line = bad.lines.as_ref().map_or(0, |lines| *lines.start());
                found.with("line", line).with("wrong", &*bad.wrong).repeat(bad.by_hand(self.stage))
            })
        })
    }

    /// Whether it refused a file of which one of these lines is wrong.
    ///
    /// # Errors
    ///
    /// How it did not.
    pub fn refused(
        &self,
        accepted: &'static str,
        lines: Option<&RangeInclusive<usize>>,
    ) -> Outcome {
        let fail = |id: &'static str, expected: &str, actual: String| {
            Err(self.found(id).compared(expected, actual).fail())
        };
        let panic = PanicLine::find(&self.output.stderr.text());
        match (self.stay.exit, panic) {
            (None, _) if !self.stay.listened.is_empty() => {
                let where_to = list(&self.stay.listened);
                fail(accepted, "an exit code that is not 0", format!("it listens on {where_to}"))
            }
            (None, _) => {
                let limit = TO_REFUSE.as_secs();
                let found = self.found("neither-runs-nor-ends").with("seconds", limit);
                let expected = format!("its end within {limit} s");
                Err(found.compared(expected, "it runs, and listens nowhere").timed().fail())
            }
            (Some(exit), Some(panic)) => {
                let said = format!("{exit}, a panic at {}: {}", panic.location, panic.message);
                fail("crashes-on-bad-file", "a message for whoever wrote the file", said)
            }
            (Some(exit @ ExitKind::Signal(_)), None) => {
                fail("crashes-on-bad-file", "an exit code", exit.to_string())
            }
            (Some(ExitKind::Code(0)), None) => {
                fail("exit-code-zero", "an exit code that is not 0", "0".to_owned())
            }
            (Some(ExitKind::Code(_)), None) => self.says_so(lines),
        }
    }

    /// The message names the file, and one of the lines.
    fn says_so(&self, lines: Option<&RangeInclusive<usize>>) -> Outcome {
        let (stderr, stdout) = (self.output.stderr.text(), self.output.stdout.text());
        let words = Words { stderr: &stderr, stdout: &stdout, path: &self.path };
        words
            .name(lines)
            .map_err(|unsaid| self.found(unsaid.id).compared(unsaid.expected, unsaid.actual).fail())
    }

    /// A diagnosis about this run.
    pub fn found(&self, id: &'static str) -> Diagnosis {
        let exit = self.stay.exit.map_or_else(|| "it runs on".to_owned(), |exit| exit.to_string());
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Diagnosis::new(id)
            .with("file", name)
            .with("exit", exit)
            .with("said", self.said())
            .with("listens", list(&self.stay.listened))
            .with("elsewhere", self.at.elsewhere.to_string())
            .with("output", self.output.last_lines(12))
    }

    /// The first thing that it wrote to its standard error, or that there is nothing.
    pub fn said(&self) -> String {
        words::first_of(&self.output.stderr.text())
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
