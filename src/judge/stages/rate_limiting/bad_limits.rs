//! A limit that is none ends the program at start: else nobody hears of it before the
//! day on which it is needed.

use std::time::Duration;

use super::limited::limit;
use super::quota::Quota;
use crate::judge::config_file::{ConfigFile, text};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, each_refused};

/// The comments above the tables: the numbers of the lines that matter are then none
/// that a message would have for another reason.
const COMMENTS: std::ops::Range<u64> = 60..75;

/// A route names a limit that there is not; limits of nothing, of text, of less than
/// nothing, and with a key that there is not.
pub async fn bad_limit(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let at = scene.addresses()?;
    let (name, pool) = (draw.word(), draw.word());
    let mut file = ConfigFile::new();
    for _ in 0..draw.number(COMMENTS) {
        file = file.line(format!("# {} {}", draw.word(), draw.word()));
    }
    let quota = Quota { requests: draw.number(10..50), burst: draw.number(50..90) };
    let file = limit(file.listener(at.listen), &name, quota, None)
        .pool(&pool, Some(Duration::from_secs(30)), [scene.free_address()?])
        .route(&[], None, &pool)
        .key("rate_limit", vec![text(&name)]);
    let line = |header: &str, key: &str| file.line_of(header, 0, key).unwrap_or(1);
    let instead = |at: usize, line: &str| BadFile::at(file.clone().with_line(at, line), at);
    let header = format!("[rate_limit.{name}]");
    let (requests, burst) = (line(&header, "requests"), line(&header, "burst"));
    let bad = vec![
        instead(line("[[route]]", "rate_limit"), &format!("rate_limit = [\"{}\"]", draw.word())),
        instead(requests, "requests = 0"),
        instead(requests, &format!("requests = \"{}\"", quota.requests)),
        instead(burst, &format!("burst = -{}", quota.burst)),
        instead(burst, &format!("{} = {}", draw.word(), quota.burst)),
    ];
    each_refused(scene, at, "bad-limit-accepted", bad).await
}
