//! A file is seen to have changed however that was done: another put in its place, twice, and
//! a link that leads elsewhere.

use std::path::Path;

use super::live::{Live, Part, name_of};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// As editors do it, and then as a ConfigMap of Kubernetes is laid out: the file is a link
/// through a link to a folder, and the latter is swapped.
pub async fn however_written(scene: &Scene) -> Outcome {
    let part = Part::drawn(scene);
    let backends = scene.backends_named(&part.pool, 5)?;
    let live = Live::start(scene, &|listen| part.alone(listen, &[&backends[0]])).await?;
    live.served(&part.prefix).await?;
    let file = |nth: usize| part.alone(live.listen(), &[&backends[nth]]);
    for (nth, id) in [(1, "rename-not-seen"), (2, "later-rename-not-seen")] {
        scene.plan("another file in its place");
        live.replace(&file(nth))?;
        live.takes(&part.prefix, &backends[nth], id).await?;
    }
    let (name, folder) = (name_of(&live.path), live.path.parent().unwrap_or(Path::new("/")));
    for nth in [3, 4] {
        scene.plan("a link that leads elsewhere");
        let version = folder.join(format!("version-{nth}"));
        let laid_out = std::fs::create_dir(&version)
            .and_then(|()| std::fs::write(version.join(&name), file(nth).text()))
            .and_then(|()| link(&version, &folder.join("..data")));
        live.ours(laid_out)?;
        if nth == 3 {
            live.ours(link(&Path::new("..data").join(&name), &live.path))?;
        }
        live.takes(&part.prefix, &backends[nth], "link-not-followed").await?;
    }
    Ok(())
}

/// Puts a link in the place of whatever is there, in one step.
fn link(to: &Path, at: &Path) -> std::io::Result<()> {
    let beside = at.with_file_name("new-link");
    std::os::unix::fs::symlink(to, &beside)?;
    std::fs::rename(&beside, at)
}
