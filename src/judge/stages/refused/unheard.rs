//! A file that can't be used is refused before a socket is opened.
//!
//! Two runs show it for each file. In the first, a [`Watch`] tries to connect for as long
//! as the program lives, and the system is asked who listens. In the second, the
//! addresses are taken: a program that reads its file first never notices, and
//! one that opens its sockets first has another complaint than the file. So nothing depends
//! on who is quicker.

use std::net::{SocketAddr, TcpListener};

use super::watch::Watch;
use super::{BadFile, RightFile, Run};
use crate::judge::diagnosis::Finding;
use crate::judge::scene::{Addresses, Scene};
use crate::judge::stage::Outcome;

/// What would be found if it were about that here.
const NOT_ASKED: &str = "neither-runs-nor-ends";

/// What makes a file bad.
pub type Kind = fn(&RightFile<'_>) -> Vec<BadFile>;

/// The first file of this kind.
///
/// # Errors
///
/// Somebody listened.
pub async fn unheard(scene: &Scene, kind: Kind) -> Result<Heard, Finding> {
    // Both are drawn, whether the second is needed or not: that depends on who is
    // quicker, and what comes of a seed does not.
    let (first, second) = (Free::drawn(scene, kind)?, Free::drawn(scene, kind)?);
    first.bad.plan(scene);
    let (run, seen) = first.run(scene).await?;
    // A port is free for all: somebody else may have come to this one just then,
    // and does not come to two.
    let again = match seen {
        Some(_) if run.stay.listened.is_empty() => second.run(scene).await?.1,
        seen => seen,
    };
    let Free { at, bad } = first;
    if let (Some(address), Some(_)) = (seen, again) {
        let actual = format!("for a moment somebody could connect to {address}");
        return Err(run
            .found("listened-before-refusing")
            .compared("no listener at any time", actual)
            .with("address", address.to_string())
            .with("wrong", &*bad.wrong)
            .repeat(by_hand(scene, address, at, &bad))
            .fail());
    }
    // How it refuses the file is what other checks are about.
    if run.refuses(NOT_ASKED, &bad).is_err() {
        return Ok(Heard::NotRefused);
    }
    while_taken(scene, at, &bad).await?;
    Ok(Heard::Nothing)
}

/// What came of a bad file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was refused, and nothing listened.
    Nothing,
    /// It was not refused as it should be: of listening nothing can be said.
    NotRefused,
}

/// A bad file, and addresses that are free.
struct Free {
    at: Addresses,
    bad: BadFile,
}

impl Free {
    /// With addresses of its own: while other programs are started, a socket of ours may
    /// live a moment longer than we know, in a process that is not one yet.
    fn drawn(scene: &Scene, kind: Kind) -> Result<Self, Finding> {
        let at = scene.addresses()?;
        let bad = kind(&RightFile::drawn(scene, at)?).into_iter().next();
        let bad = bad.ok_or_else(|| scene.our_error("a bad file", &"there is none"))?;
        Ok(Self { at, bad })
    }

    /// Runs the program with the file, and says where somebody listened meanwhile.
    async fn run(&self, scene: &Scene) -> Result<(Run, Option<SocketAddr>), Finding> {
        let path = scene.write(&self.bad.file)?;
        let watch = Watch::begin(vec![self.at.listen, self.at.elsewhere]);
        let run = Run::of(scene, self.at, &path).await?;
        let seen = watch.end().or_else(|| run.stay.listened.first().copied());
        Ok((run, seen))
    }
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
    // Whoever has not ended by then may only be slow.
    let found = if run.stay.exit.is_none() { found.timed() } else { found };
    Err(found
        .compared("the same words about the file, whoever has the port", run.said())
        .with("address", at.listen.to_string())
        .with("wrong", &*bad.wrong)
        .repeat(by_hand(scene, at.listen, at, bad))
        .fail())
}

/// Who binds this address before the file is read has another complaint where it is taken.
fn by_hand(scene: &Scene, address: SocketAddr, at: Addresses, bad: &BadFile) -> Vec<String> {
    // What `LAB_LISTEN` says is the usual address by hand.
    let usual = SocketAddr::from(([127, 0, 0, 1], 6188));
    let taken = if address == at.elsewhere { usual } else { address };
    let mut commands = vec![format!("nc -lk {} {}", taken.ip(), taken.port())];
    commands.extend(bad.by_hand(scene.stage()));
    commands
}
