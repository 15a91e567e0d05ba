//! The command tree: what a person may type, and how the program ends.

mod backends;
mod course;
mod guard;
mod learner;
mod listing;
mod probe;
mod serve;
mod stopped;

use std::ffi::OsString;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::language::Language;

/// A load balancer on Pingora, lab backends to point it at, a probe that shows what
/// it did, and a course in which you write your own.
#[derive(Debug, Parser)]
#[command(name = "pingora-lab", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

/// Options that every subcommand takes.
#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// Language of the output [default: that of the locale]
    #[arg(long, global = true, value_name = "LANG", display_order = 900)]
    lang: Option<Language>,

    /// When to colour the output; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", display_order = 901)]
    color: When,
}

impl Global {
    fn language(&self) -> Language {
        self.lang.unwrap_or_else(Language::from_environment)
    }

    /// Whether to colour, where the person has said so.
    fn color_override(&self) -> Option<bool> {
        match self.color {
            When::Auto => None,
            When::Always => Some(true),
            When::Never => Some(false),
        }
    }
}

/// When to do what suits only a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the load balancer, with lab backends of its own unless told others
    Serve(serve::Args),
    /// Run the lab backends alone, for any proxy to talk to
    Backends(backends::Args),
    /// Make a workspace to learn in: a Cargo project with one program for each stage
    Init(learner::init::Args),
    /// Learn: the current stage, built and judged after every save
    #[command(after_help = learner::learn::AFTER_HELP)]
    Learn,
    /// Build and judge a stage once
    Check(learner::check::Args),
    /// Show the path through the stages: what is passed, what is left, what is next
    #[command(visible_alias = "list")]
    Progress(learner::progress::Args),
    /// Show the next hint for a stage
    Hint(learner::StageArg),
    /// Go on to the next stage
    Next(learner::moves::NextArgs),
    /// Go to any stage
    Goto(learner::StageArg),
    /// Begin a stage anew; what you wrote is kept beside it
    Reset(learner::StageArg),
    /// Show the reference solution of a stage
    Solution(learner::solution::Args),
    /// Run a stage by hand, beside the lab backends
    Run(learner::StageArg),
    /// Send requests and show which backend answered and what the proxy changed
    Probe(probe::Args),
    /// For those who write the course
    Course(course::Args),
    /// Started by the judge between itself and a program under test
    #[command(hide = true)]
    Guard,
}

/// How the program ends: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went as asked.
    Good = 0,
    /// It was tried and it failed.
    Failed = 1,
    /// What was asked makes no sense; nothing was tried.
    Usage = 2,
    /// Neither good nor failed could be shown.
    Inconclusive = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error in what the person typed or wrote down; ends the program with
/// [`Exit::Usage`].
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Parses the command line, runs it, and prints the error if there is one.
pub fn main() -> ExitCode {
    run(std::env::args_os()).into()
}

fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints each where it belongs.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Good };
            let _ = error.print();
            return exit;
        }
    };
    // Otherwise `colored` goes by NO_COLOR, CLICOLOR_FORCE and whether stdout is a
    // terminal.
    if let Some(color) = cli.global.color_override() {
        colored::control::set_override(color);
    }
    let result = match cli.command {
        Command::Serve(args) => serve::run(args, &cli.global),
        Command::Backends(args) => backends::run(args, &cli.global),
        Command::Init(args) => learner::init::run(args, &cli.global),
        Command::Learn => learner::learn::run(&cli.global),
        Command::Check(args) => learner::check::run(args, &cli.global),
        Command::Progress(args) => learner::progress::run(&args, &cli.global),
        Command::Hint(stage) => learner::hint::run(stage, &cli.global),
        Command::Next(args) => learner::moves::next(args, &cli.global),
        Command::Goto(stage) => learner::moves::goto(stage, &cli.global),
        Command::Reset(stage) => learner::reset::run(stage, &cli.global),
        Command::Solution(args) => learner::solution::run(args, &cli.global),
        Command::Run(stage) => learner::run::run(stage, &cli.global),
        Command::Probe(args) => probe::run(args, &cli.global),
        Command::Course(args) => course::run(args, &cli.global),
        Command::Guard => guard::run(),
    };
    result.unwrap_or_else(|error| {
        print_error(&error, &cli.global);
        if error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
    })
}

/// How an installed program is called.
const INSTALLED: &str = "pingora-lab";

/// How this program was called, for commands to try: a checkout that is run by
/// cargo has no `pingora-lab` on the path.
fn invocation() -> &'static str {
    if std::env::var_os("CARGO").is_some() { "cargo run --" } else { INSTALLED }
}

/// One error, with its causes: `error: what: why: why`.
fn print_error(error: &anyhow::Error, global: &Global) {
    // `colored` looks at stdout only.
    let color = global.color_override().unwrap_or_else(|| {
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
    });
    let label = if color { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    // `eprintln!` would panic where nobody reads it any more.
    let _ = writeln!(std::io::stderr(), "{label} {error:#}");
}
