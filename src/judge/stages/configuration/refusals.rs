//! What is wrong with a file is said, with its line; see [`super::super::refused`].

use super::ID;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, RightFile, Run, each_refused};

/// A key that there is not.
pub async fn unknown_key(scene: &Scene) -> Outcome {
    of_right(scene, "unknown-key-accepted", |right| right.unknown_keys()).await
}

/// A value of the wrong type, or none that it could be.
pub async fn wrong_type(scene: &Scene) -> Outcome {
    of_right(scene, "wrong-value-accepted", |right| right.wrong_values()).await
}

/// A file that is no TOML.
pub async fn syntax_error(scene: &Scene) -> Outcome {
    of_right(scene, "syntax-error-hidden", |right| right.no_toml()).await
}

/// A pool without backends.
pub async fn empty_list(scene: &Scene) -> Outcome {
    of_right(scene, "empty-list-accepted", |right| right.empty_lists()).await
}

/// A route to a pool that is not there.
pub async fn unknown_pool(scene: &Scene) -> Outcome {
    of_right(scene, "unknown-pool-accepted", |right| right.unknown_pools()).await
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

async fn of_right(
    scene: &Scene,
    accepted: &'static str,
    bad: impl Fn(&RightFile<'_>) -> Vec<BadFile>,
) -> Outcome {
    let at = scene.addresses()?;
    each_refused(scene, at, accepted, bad(&RightFile::drawn(scene, at)?)).await
}
