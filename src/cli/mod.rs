//! The command tree: what a person may type, and how the program ends.

mod backends;
mod probe;
mod serve;

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use colored::Colorize;

use crate::language::Language;

/// A load balancer on Pingora, lab backends to point it at, and a probe that
/// shows what it did.
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
    #[arg(long, global = true, value_name = "LANG")]
    lang: Option<Language>,

    /// When to colour the output; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: When,
}

impl Global {
    fn language(&self) -> Language {
        self.lang.unwrap_or_else(Language::from_environment)
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
    /// Send requests and show which backend answered and what the proxy changed
    Probe(probe::Args),
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
    match cli.global.color {
        // `colored` reads NO_COLOR and CLICOLOR_FORCE, but looks at stdout only.
        When::Auto => {}
        When::Always => colored::control::set_override(true),
        When::Never => colored::control::set_override(false),
    }
    let result = match cli.command {
        Command::Serve(args) => serve::run(args, &cli.global),
        Command::Backends(args) => backends::run(args, &cli.global),
        Command::Probe(args) => probe::run(args, &cli.global),
    };
    result.unwrap_or_else(|error| {
        print_error(&error, cli.global.color);
        if error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
    })
}

/// One error, with its causes: `error: what: why: why`.
fn print_error(error: &anyhow::Error, color: When) {
    let plain = match color {
        When::Always => false,
        When::Never => true,
        When::Auto => !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some(),
    };
    let label = if plain { "error:".normal() } else { "error:".red().bold() };
    eprintln!("{label} {error:#}");
}
