//! An admin listener that can't be is an error at start: else nobody is told that nothing
//! is counted until the day on which it is needed.

use std::time::Duration;

use crate::judge::config_file::{ConfigFile, text};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, each_refused, unheard};

/// The comments above the tables: the numbers of the lines that matter are then none
/// that a message would have for another reason.
const COMMENTS: std::ops::Range<u64> = 60..75;

/// No address, an address without a port, and a key that there is not beside one.
pub async fn bad_admin(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let at = scene.addresses()?;
    let pool = draw.word();
    let mut file = ConfigFile::new();
    for _ in 0..draw.number(COMMENTS) {
        file = file.line(format!("# {} {}", draw.word(), draw.word()));
    }
    let file = file
        .listener(at.listen)
        .table("[admin]", [("address", text(scene.free_address()?))])
        .pool(&pool, Some(Duration::from_secs(30)), [scene.free_address()?])
        .route(&[], None, &pool);
    let line = file.line_of("[admin]", 0, "address").unwrap_or(1);
    let instead = |text: String| BadFile::at(file.clone().with_line(line, text), line);
    let bad = vec![
        instead(format!("address = \"{}\"", draw.word())),
        instead("address = \"127.0.0.1\"".to_owned()),
        BadFile::at(file.clone().with_line_before(line, format!("{} = true", draw.word())), line),
    ];
    each_refused(scene, at, "bad-admin-accepted", bad).await?;
    // Nothing listens meanwhile: it is read with the rest.
    unheard(scene, |right| {
        let file = right.file.clone().table("[admin]", [("address", text("127.0.0.1"))]);
        let line = file.line_of("[admin]", 0, "address").unwrap_or(1);
        vec![BadFile::at(file, line)]
    })
    .await
    .map(drop)
}
