//! `pingora-lab backends`.

use super::{Exit, Global};

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args, _global: &Global) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
