//! `pingora-lab guard`: hidden, since only the judge starts it and speaks to it.

use anyhow::Context;

use super::Exit;
use crate::judge::program::guard;

pub fn run() -> anyhow::Result<Exit> {
    guard::run().context("the guard is started by the judge, with a socket as its stdin")?;
    Ok(Exit::Good)
}
