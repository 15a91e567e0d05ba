//! A drain that is no time, and keys that there are not, end the program at start: else they
//! are found on the day on which it is to end.

use std::time::Duration;

use super::setup::Plan;
use crate::judge::config_file::ConfigFile;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, each_refused, unheard};

/// The comments above the tables: the numbers of the lines that matter are then none
/// that a message would have for another reason.
const COMMENTS: std::ops::Range<u64> = 60..75;

/// A number without a unit, a word, and keys of both tables that there are not.
pub async fn bad_shutdown(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let at = scene.addresses()?;
    let seconds = draw.number(2..30);
    let mut plan = Plan::drawn(scene, Duration::from_secs(seconds)).with_successor(scene)?;
    // By hand there would be no certificates, and the file refused for that.
    plan.secure = None;
    let mut file = ConfigFile::new();
    for _ in 0..draw.number(COMMENTS) {
        file = file.line(format!("# {} {}", draw.word(), draw.word()));
    }
    let right = plan.file(at.listen, scene.free_address()?);
    let file = right.lines().fold(file, ConfigFile::line);
    let line = |header: &str, key: &str| file.line_of(header, 0, key).unwrap_or(1);
    let instead = |at: usize, line: &str| BadFile::at(file.clone().with_line(at, line), at);
    let (drain, socket) = (line("[shutdown]", "drain"), line("[upgrade]", "socket"));
    let bad = vec![
        instead(drain, &format!("drain = {seconds}")),
        instead(drain, &format!("drain = \"{}\"", draw.word())),
        instead(drain, &format!("{} = \"{seconds}s\"", draw.word())),
        instead(socket, &format!("{} = \"/tmp/{}.sock\"", draw.word(), draw.word())),
    ];
    each_refused(scene, at, "bad-shutdown-accepted", bad).await?;
    // Nothing listens meanwhile: it is read with the rest.
    unheard(scene, |right| {
        let file = right.file.clone().table("[shutdown]", [("drain", toml::Value::from(5))]);
        let line = file.line_of("[shutdown]", 0, "drain").unwrap_or(1);
        vec![BadFile::at(file, line)]
    })
    .await
    .map(drop)
}
