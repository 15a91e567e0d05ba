//! `pingora-lab course`: for those who write the course.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::stopped::stopped;
use super::{Exit, Global, UsageError};
use crate::course::lesson;
use crate::course::verify::{self, Order, Step};
use crate::judge::{Stage, State, stages};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove the lessons: right programs pass, wrong ones are found and named
    Verify(Verify),
    /// Measure how long a learner waits after a save
    Bench(Bench),
}

/// What every command here takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// Stages, such as 01-first-proxy, 1 or first-proxy [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,

    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=1 << 62))]
    seed: u64,

    /// Where to build: an empty folder, or one of an earlier run
    /// [default: one under target/ of the checkout]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// The shape of the report
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
struct Verify {
    #[command(flatten)]
    common: Common,

    /// Judge each program with so many seeds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,

    /// Judge only the solutions, each so often, and show how long it takes
    #[arg(long, value_name = "N", conflicts_with = "seeds", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    soak: Option<u64>,

    /// Keep so many threads busy beside a soak
    #[arg(long, value_name = "N", default_value_t = 0, requires = "soak")]
    busy: u8,
}

#[derive(Debug, clap::Args)]
struct Bench {
    #[command(flatten)]
    common: Common,

    /// Measure each so often
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rounds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

const AFTER_HELP: &str = "\
Exit code: 0 all is as it should be, 1 it is not, 2 the order makes no sense, 3 neither could be \
shown.";

pub(super) fn run(args: Args, _: &Global) -> anyhow::Result<Exit> {
    let order = match &args.command {
        Command::Verify(args) => args.common.order(args.seeds, "target/course-verify"),
        Command::Bench(args) => args.common.order(1, "target/course-bench"),
    }?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = runtime.block_on(async {
        // What it has started ends when it is dropped.
        tokio::select! {
            state = carry_out(&args.command, &order) => state,
            name = stopped() => Err(anyhow!("stopped by {}", name?)),
        }
    });
    // A task may still wait for a program that was told to end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(match state? {
        State::Pass => Exit::Good,
        State::Fail => Exit::Failed,
        State::Inconclusive => Exit::Inconclusive,
    })
}

async fn carry_out(command: &Command, order: &Order) -> anyhow::Result<State> {
    let bar = ProgressBar::new(0);
    let template = "{msg} {wide_bar} {pos}/{len} {elapsed}";
    bar.set_style(ProgressStyle::with_template(template).context("the progress bar's template")?);
    let tell = |step: Step<'_>| match step {
        Step::Building { names, done, total } => draw(&bar, names, done, total),
        Step::Judging { done, total } => draw(&bar, "judging", done, total),
    };
    match command {
        Command::Verify(Verify { common, soak: Some(runs), busy, .. }) => {
            let report = verify::soak(order, *runs, usize::from(*busy), &tell).await?;
            bar.finish_and_clear();
            print(common.format, &report, &report)?;
            Ok(report.state())
        }
        Command::Verify(Verify { common, .. }) => {
            let report = verify::verify(order, &tell).await?;
            bar.finish_and_clear();
            print(common.format, &report, &report)?;
            Ok(report.state())
        }
        Command::Bench(Bench { common, rounds }) => {
            let report = verify::bench(order, *rounds, &tell).await?;
            bar.finish_and_clear();
            print(common.format, &report, &report)?;
            Ok(report.state)
        }
    }
}

/// Draws nothing where stderr is no terminal.
fn draw(bar: &ProgressBar, what: &str, done: usize, total: usize) {
    bar.set_message(what.to_owned());
    bar.set_length(total as u64);
    bar.set_position(done as u64);
}

fn print(
    format: Format,
    text: &impl std::fmt::Display,
    json: &impl Serialize,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match format {
        Format::Text => write!(out, "{text}"),
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(json)?),
    }
    .context("the report cannot be written")
}

impl Common {
    fn order(&self, seeds: u64, usual: &str) -> anyhow::Result<Order> {
        let here = std::env::current_dir().context("there is no current folder")?;
        let folder = match &self.dir {
            Some(folder) => std::path::absolute(folder)?,
            None => {
                verify::checkout(&here).map(|checkout| checkout.join(usual)).ok_or_else(|| {
                    UsageError(
                        "this is no checkout of the course; name a folder to build in with --dir"
                            .to_owned(),
                    )
                })?
            }
        };
        let stages = if self.stages.is_empty() {
            stages::STAGES.to_vec()
        } else {
            self.stages.iter().map(|name| stage(name)).collect::<anyhow::Result<_>>()?
        };
        let guard = std::env::current_exe().context("this program does not know where it is")?;
        Ok(Order { stages, seed: self.seed, seeds, folder, guard })
    }
}

fn stage(name: &str) -> anyhow::Result<&'static Stage> {
    let found = lesson::find(name).and_then(|lesson| stages::stage(lesson.id()));
    found.ok_or_else(|| {
        let all: Vec<_> = stages::STAGES.iter().map(|stage| stage.id).collect();
        anyhow!(UsageError(format!("there is no stage {name}; there are {}", all.join(", "))))
    })
}
