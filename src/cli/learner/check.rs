//! `pingora-lab check`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Desk, named};
use crate::cli::listing::terminal_width;
use crate::cli::stopped::stopped;
use crate::cli::{Exit, Global, UsageError, invocation};
use crate::course::build;
use crate::course::lesson::{self, Lesson};
use crate::course::note::note;
use crate::course::report::{ReportFile, Setting, json, lines, proof, stage_line, summary};
use crate::course::trial::{Event, Report, Source, Trial, build_all};
use crate::judge::program::CommandLine;
use crate::judge::{Command, State, stages};
use crate::language::Language;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Stage (2, 02, round-robin or 02-round-robin), or `all` [default: the current one]
    #[arg(value_name = "STAGE")]
    stage: Option<String>,

    /// Number from which names, paths and orders are drawn: the same, the same run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How to print the verdict
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write what was proved to this file, in Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Judge this command instead, with {listen}, {backends}, {backend1}... filled in
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(in crate::cli) fn run(args: Args, global: &Global) -> anyhow::Result<Exit> {
    let judged = Judged::new(&args, global)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let reports = runtime.block_on(async {
        tokio::select! {
            reports = judged.all(args.format) => reports.map(Some),
            // Dropping the checks ends what they started; the guards see to it.
            signal = stopped() => signal.map(|_| None).context("cannot wait for signals"),
        }
    });
    // A guard ends what it guards when our end of its stream is closed, which
    // dropping the runtime does.
    drop(runtime);
    let Some(reports) = reports? else {
        let words = match judged.language {
            Language::En => "stopped before there was a verdict",
            Language::Zh => "已中断，尚无结论",
        };
        let _ = writeln!(std::io::stderr(), "{words}");
        return Ok(Exit::Inconclusive);
    };
    if args.format == Format::Json {
        let objects: Vec<_> = reports.iter().map(|report| json(report, judged.language)).collect();
        let whole = match (args.stage.as_deref(), objects.as_slice()) {
            (Some("all"), _) => Value::from(objects),
            (_, [one]) => one.clone(),
            _ => Value::from(objects),
        };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{whole:#}").and_then(|()| out.flush()) {
            // A reader that has gone wants no more; a full disk would leave half of it.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(error).context("the verdict cannot be written");
            }
            _ => {}
        }
    }
    if let Some((file, setting)) = &judged.file {
        file.write(&proof(&reports, setting, judged.language, invocation()))
            .map_err(|error| anyhow!(error.explain(judged.language)))?;
        let path = file.path().display();
        let words = match judged.language {
            Language::En => format!("What was proved is written to {path}."),
            Language::Zh => format!("检查报告已写入 {path}。"),
        };
        let _ = writeln!(std::io::stderr(), "{words}");
    }
    Ok(exit(&reports))
}

/// A fail wins over what is inconclusive, and that over a pass.
fn exit(reports: &[Report]) -> Exit {
    let any = |state| reports.iter().any(|report| report.state() == state);
    match (any(State::Fail), any(State::Inconclusive)) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Inconclusive,
        (false, false) => Exit::Good,
    }
}

/// What is to be judged, and for whom.
struct Judged {
    lessons: Vec<&'static Lesson>,
    source: Source,
    desk: Option<Desk>,
    /// Where the report goes, and in what it is made.
    file: Option<(ReportFile, Setting)>,
    seed: u64,
    language: Language,
}

// === impl Judged ===

impl Judged {
    fn new(args: &Args, global: &Global) -> anyhow::Result<Self> {
        // Short enough to type, and as good as any other.
        let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
        // A command needs no workspace.
        let desk = if args.cmd.is_some() { None } else { Some(Desk::find(global)?) };
        let language = desk.as_ref().map_or_else(|| global.language(), |desk| desk.language);
        let lessons = match (args.stage.as_deref(), &desk) {
            (Some("all"), _) => lesson::all().iter().collect(),
            (Some(name), _) => vec![named(name, language)?],
            (None, Some(desk)) => vec![desk.current()?],
            (None, None) => {
                let text = match language {
                    Language::En => "--cmd needs a stage, such as: check 02 --cmd '...'",
                    Language::Zh => "使用 --cmd 时要指明阶段，例如：check 02 --cmd '...'",
                };
                return Err(UsageError(text.to_owned()).into());
            }
        };
        let color = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let color = global.color_override().unwrap_or(color);
        let source = match (&args.cmd, &desk) {
            (Some(line), _) => {
                let line =
                    CommandLine::parse(line).map_err(|error| UsageError(error.to_string()))?;
                Source::Command(Command::Line(line), std::env::current_dir()?)
            }
            (None, Some(desk)) => Source::Workspace { workspace: desk.workspace.clone(), color },
            (None, None) => anyhow::bail!("nothing to judge"),
        };
        let file = match &args.report {
            None => None,
            Some(path) => {
                let file = ReportFile::new(path.clone());
                let file = file.map_err(|error| UsageError(error.explain(language)))?;
                Some((file, Setting::now(desk.as_ref().map(|desk| &desk.workspace))))
            }
        };
        Ok(Self { lessons, source, desk, file, seed, language })
    }

    async fn all(&self, format: Format) -> anyhow::Result<Vec<Report>> {
        let (events, mut received) = mpsc::unbounded_channel();
        let (language, stages) = (self.language, self.lessons.len());
        let telling = tokio::spawn(async move {
            while let Some(event) = received.recv().await {
                if format == Format::Text {
                    tell(&event, stages, language);
                }
            }
        });
        let sources = match &self.source {
            Source::Workspace { workspace, color } => {
                build_all(workspace, &self.lessons, *color, &events).await
            }
            source => vec![source.clone(); self.lessons.len()],
        };
        let mut reports = Vec::new();
        for (lesson, source) in self.lessons.iter().zip(sources) {
            let stage = stages::stage(lesson.id()).context("a lesson without checks")?;
            let guard = std::env::current_exe().context("cannot find this program's own file")?;
            let report = Trial { lesson, stage, seed: self.seed, source, guard }.run(&events).await;
            if let Some(desk) = &self.desk {
                let noted = note(&desk.workspace, &report);
                noted.map_err(|error| anyhow!(error.explain(desk.language)))?;
            }
            if format == Format::Text {
                self.print(&report);
            }
            reports.push(report);
        }
        drop(events);
        let _ = telling.await;
        if format == Format::Text && self.lessons.len() > 1 {
            let mut out = std::io::stdout().lock();
            for line in summary(&reports, language, terminal_width(), invocation()) {
                let _ = writeln!(out, "{line}");
            }
        }
        Ok(reports)
    }

    /// One of several is a line; the sum follows them.
    fn print(&self, report: &Report) {
        let mut out = std::io::stdout().lock();
        // Nobody may read it any more.
        if self.lessons.len() > 1 {
            let _ = writeln!(out, "{}", stage_line(report, self.language, terminal_width()));
            return;
        }
        for line in lines(report, self.language, terminal_width(), invocation()) {
            let _ = writeln!(out, "{line}");
        }
        if report.state() == State::Pass && self.desk.is_some() {
            let _ = writeln!(out, "\n{}", after_a_pass(report.lesson, self.language));
        }
    }
}

/// What the build of so many stages says while it goes on: the first takes minutes.
fn tell(event: &Event, stages: usize, language: Language) {
    let Event::Build(event) = event else { return };
    let words = match (event, language) {
        (build::Event::Downloading, Language::En) => "downloading crates…".to_owned(),
        (build::Event::Downloading, Language::Zh) => "正在下载依赖……".to_owned(),
        (build::Event::Waiting, Language::En) => {
            "waiting for another cargo in this workspace (an editor?)…".to_owned()
        }
        (build::Event::Waiting, Language::Zh) => {
            "正在等待本目录中的另一个 cargo（编辑器？）……".to_owned()
        }
        // A line for each crate would be a flood; the last are the stages.
        (build::Event::Compiling { done, total, .. }, language)
            if done % 25 == 0 && total.saturating_sub(*done) > stages.max(25) =>
        {
            match language {
                Language::En => format!("compiling the dependencies, once: {done} of {total}"),
                Language::Zh => format!("正在编译依赖（只需一次）：{done}/{total}"),
            }
        }
        _ => return,
    };
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// What to do after a pass.
fn after_a_pass(lesson: &Lesson, language: Language) -> String {
    let program = invocation();
    let last = lesson::all().last().is_some_and(|last| last.id() == lesson.id());
    match (language, last) {
        (Language::En, false) => format!(
            "Compare with the reference: {program} solution {}\nGo on: {program} next\n\
             Go on with your own program: {program} next --keep",
            lesson.id()
        ),
        (Language::Zh, false) => {
            format!(
                "对照参考实现：{program} solution {}\n继续：{program} next\n\
                 带着自己的程序继续：{program} next --keep",
                lesson.id()
            )
        }
        (Language::En, true) => {
            format!("Compare with the reference: {program} solution {}", lesson.id())
        }
        (Language::Zh, true) => format!("对照参考实现：{program} solution {}", lesson.id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::build::{Failure, Trouble};
    use crate::course::trial::Outcome;
    use crate::course::trial::sample::report;

    #[test]
    fn a_fail_wins_over_what_is_inconclusive_and_that_over_a_pass() {
        let lesson = &lesson::all()[0];
        let passed = || report(lesson, None);
        let failed = || report(lesson, Some("starts"));
        let inconclusive = || {
            let failure = Failure { trouble: Trouble::Offline, detail: String::new() };
            Report { result: Outcome::NotBuilt(failure, Vec::new()), ..passed() }
        };
        assert_eq!(exit(&[passed(), passed()]), Exit::Good);
        assert_eq!(exit(&[passed(), inconclusive(), passed()]), Exit::Inconclusive);
        assert_eq!(exit(&[inconclusive(), failed(), passed()]), Exit::Failed);
    }
}
