//! A policy that is none ends the program at start: one that lets everybody in, or nobody,
//! is noticed too late.

use std::path::Path;

use super::doors::Doors;
use crate::judge::config_file::ConfigFile;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, each_refused};

/// The comments above the tables: the numbers of the lines that matter are then none that a
/// message would have for another reason.
const COMMENTS: std::ops::Range<u64> = 60..75;

/// A policy that there is not, algorithms that are none, no algorithm at all, a secret that
/// can be guessed, a file that is not there, a key that there is not.
pub async fn bad_policy(scene: &Scene) -> Outcome {
    let draw = &scene.draw;
    let at = scene.addresses()?;
    let doors = Doors::drawn(draw, Vec::new())?;
    doors.write_files(scene)?;
    let path = scene.config_path()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = doors.file(at.listen, &[scene.free_address()?], folder);
    for _ in 0..draw.number(COMMENTS) {
        file = file.with_line_before(1, format!("# {} {}", draw.word(), draw.word()));
    }
    let line = |header: &str, key: &str| file.line_of(header, 0, key).unwrap_or(1);
    let instead =
        |at: usize, line: &str| BadFile::at(ConfigFile::with_line(file.clone(), at, line), at);
    let basic = format!("[auth.{}.basic]", doors.staff.door.policy);
    let jwt = format!("[auth.{}.jwt]", doors.web.door.policy);
    let missing = folder.join(format!("{}.htpasswd", draw.word()));
    let algorithms = line(&jwt, "algorithms");
    let no_file = instead(line(&basic, "file"), &format!("file = \"{}\"", missing.display()));
    let bad = vec![
        instead(line("[[route]]", "auth"), &format!("auth = \"{}\"", draw.word())),
        instead(algorithms, "algorithms = [\"none\"]"),
        instead(algorithms, "algorithms = []"),
        instead(line(&jwt, "secret"), &format!("secret = \"{}\"", draw.word())),
        BadFile { wrong: "file = \"…\"".to_owned(), ..no_file },
        instead(line(&jwt, "leeway"), &format!("{} = \"10s\"", draw.word())),
    ];
    let here = |command: &String| command.replace(&*folder.to_string_lossy(), "'\"$PWD\"'");
    let refused = each_refused(scene, at, "bad-policy-accepted", bad).await;
    refused.map_err(|finding| {
        finding.map(|found| {
            let own = found.repeat.iter().map(here).collect::<Vec<_>>();
            found.repeat(doors.files_by_hand().into_iter().chain(own).collect())
        })
    })
}
