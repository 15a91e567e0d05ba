//! A file that can't be used ends the program: soon, with an exit code, and with a
//! message that says which file and which line.

use super::{ID, bad_files};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{Heard, Kind, Run, each_refused, unheard};

/// What people do to a file. Those of which half could be served come first.
const KINDS: [Kind; 5] = [
    bad_files::unknown_pools,
    bad_files::empty_lists,
    bad_files::wrong_values,
    bad_files::unknown_keys,
    bad_files::no_toml,
];

/// A key that there is not.
pub async fn unknown_key(scene: &Scene) -> Outcome {
    each_refused(scene, "unknown-key-accepted", bad_files::unknown_keys).await
}

/// A value of the wrong type, or none that it could be.
pub async fn wrong_type(scene: &Scene) -> Outcome {
    each_refused(scene, "wrong-value-accepted", bad_files::wrong_values).await
}

/// A file that is no TOML.
pub async fn syntax_error(scene: &Scene) -> Outcome {
    each_refused(scene, "syntax-error-hidden", bad_files::no_toml).await
}

/// A pool without backends.
pub async fn empty_list(scene: &Scene) -> Outcome {
    each_refused(scene, "empty-list-accepted", bad_files::empty_lists).await
}

/// A route to a pool that is not there.
pub async fn unknown_pool(scene: &Scene) -> Outcome {
    each_refused(scene, "unknown-pool-accepted", bad_files::unknown_pools).await
}

/// No file.
pub async fn missing_file(scene: &Scene) -> Outcome {
    let (at, path) = (scene.addresses()?, scene.config_path()?);
    scene.plan("no file");
    let run = Run::of(scene, at, &path).await?;
    run.refused("missing-file-hidden", None).map_err(|finding| {
        finding.map(|found| {
            found.with("line", "–").with("wrong", "no such file").repeat(vec![format!(
                "LAB_CONFIG=$PWD/no-such-file.toml pingora-lab run {ID}; echo $?"
            )])
        })
    })
}

/// One file of each kind, and nothing listens at any time.
pub async fn nothing_listens(scene: &Scene) -> Outcome {
    for kind in KINDS {
        if unheard(scene, kind).await? == Heard::NotRefused {
            return Ok(());
        }
    }
    Ok(())
}
