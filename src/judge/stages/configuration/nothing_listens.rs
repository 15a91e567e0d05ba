//! A file that can't be used is refused before a socket is opened.
//!
//! Two runs show it for each file. In the first, a [`Watch`] tries to connect for as long
//! as the program lives, and the system is asked who listens. In the second, the
//! addresses are taken: a program that reads its file first never notices, and
//! one that opens its sockets first has another complaint than the file. So nothing depends
//! on who is quicker.

use std::net::TcpListener;

use super::bad_files::{BadFile, RightFile};
use super::refused::{Run, by_hand, plan};
use super::watch::Watch;
use crate::judge::scene::{Addresses, Scene};
use crate::judge::stage::Outcome;

/// What would be found if it were about that here.
const NOT_ASKED: &str = "neither-runs-nor-ends";

/// One file of each kind, the more subtle ones first: half of it could be served.
pub async fn nothing_listens(scene: &Scene) -> Outcome {
    let at = scene.addresses()?;
    let right = RightFile::drawn(scene, at)?;
    let kinds = [
        right.unknown_pools(),
        right.empty_lists(),
        right.wrong_values(),
        right.unknown_keys(),
        right.no_toml(),
    ];
    for bad in kinds.into_iter().filter_map(|kind| kind.into_iter().next()) {
        plan(scene, &bad);
        let path = scene.write(&bad.file)?;
        let watch = Watch::begin(vec![at.listen, at.elsewhere]);
        let run = Run::of(scene, at, &path).await?;
        let seen = watch.end().or_else(|| run.stay.listened.first().copied());
        if let Some(address) = seen {
            let found = run.found("listened-before-refusing");
            let actual = format!("for a moment somebody could connect to {address}");
            return Err(found
                .compared("no listener at any time", actual)
                .with("address", address.to_string())
                .with("wrong", &*bad.wrong)
                .repeat(by_hand(&bad))
                .fail());
        }
        // How it refuses the file is what the other checks are about.
        if run.refuses(NOT_ASKED, &bad).is_err() {
            return Ok(());
        }
        while_taken(scene, at, &bad).await?;
    }
    Ok(())
}

/// The same while somebody else has the addresses.
async fn while_taken(scene: &Scene, at: Addresses, bad: &BadFile) -> Outcome {
    let take = |address| {
        let taken = TcpListener::bind(address);
        taken.map_err(|error| scene.our_error("an address could not be taken", &error))
    };
    let taken = [take(at.listen)?, take(at.elsewhere)?];
    let run = Run::of(scene, at, &scene.write(&bad.file)?).await?;
    drop(taken);
    if run.refuses(NOT_ASKED, bad).is_ok() {
        return Ok(());
    }
    let found = run.found("listened-before-refusing");
    Err(found
        .compared("the same words about the file, whoever has the port", run.said())
        .with("address", at.listen.to_string())
        .with("wrong", &*bad.wrong)
        .repeat(
            [format!("nc -lk {} {}", at.listen.ip(), at.listen.port())]
                .into_iter()
                .chain(by_hand(bad))
                .collect(),
        )
        .fail())
}
