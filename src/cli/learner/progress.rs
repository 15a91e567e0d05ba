//! `pingora-lab progress`.

use std::io::Write;

use anyhow::Context;
use clap::ValueEnum;

use super::Desk;
use crate::cli::listing::terminal_width;
use crate::cli::{Exit, Global, invocation};
use crate::course::path::{Path, json, lines};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(in crate::cli) fn run(args: &Args, global: &Global) -> anyhow::Result<Exit> {
    // Without a workspace the stages can be read all the same.
    let desk = Desk::find_any(global)?;
    let language = desk.as_ref().map_or_else(|| global.language(), |desk| desk.language);
    let path = Path::new(desk.as_ref().map(|desk| &desk.progress));
    let text = match args.format {
        Format::Text => lines(&path, language, terminal_width(), invocation()).join("\n"),
        Format::Json => format!("{:#}", json(&path, language, invocation())),
    };
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader that has gone wants no more.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the progress cannot be written")
        }
        _ => Ok(Exit::Good),
    }
}
