//! A file that can't be used changes nothing, is reported with its line, and does not keep the
//! next good one from being taken.

use std::time::{Duration, Instant};

use super::live::{self, Live, SEEN, in_words, is_of};
use crate::backends::recording::RecordingBackend;
use crate::judge::config_file::ConfigFile;
use crate::judge::diagnosis::Diagnosis;
use crate::judge::program::PanicLine;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{BadFile, Kind, RightFile, Words, first_of};

/// How often it is looked for a report; the program's words come when they come.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One of each kind. Those of which half could be used come first.
const KINDS: [Kind; 5] = [
    |right| right.unknown_pools(),
    |right| right.empty_lists(),
    |right| right.wrong_values(),
    |right| right.unknown_keys(),
    |right| right.no_toml(),
];

/// The prefix of the route that is asked, which is none of those that are made bad.
const PREFIX: &str = "/anything/good";

/// Bad files one after the other, each with another backend than the one in use; then a good
/// one.
pub async fn bad_file(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let before = RightFile::drawn(scene, scene.addresses()?)?;
    // In front of what is drawn there is a part of our own, and the right listener.
    let right = |listen, backend: &RecordingBackend| {
        let at = before.line("[[listener]]", 0, "address");
        let file = before.file.clone().with_line(at, format!("address = \"{listen}\""));
        let file = file.pool("good", None, [backend.address()]);
        RightFile { scene, file: file.route(&[], Some(PREFIX), "good") }
    };
    let live = Live::start(scene, &|listen| right(listen, &backends[0]).file).await?;
    live.served(PREFIX).await?;
    let mut in_use = &backends[0];
    for (nth, kind) in KINDS.iter().enumerate() {
        let Some(bad) = kind(&right(live.listen(), &backends[1])).into_iter().next() else {
            continue;
        };
        bad.plan(scene);
        changes_nothing(&live, &bad, in_use, &backends[1]).await?;
        // Behind the first, and behind all of them.
        if nth == 0 || nth + 1 == KINDS.len() {
            in_use = &backends[if nth == 0 { 2 } else { 0 }];
            scene.plan("a good file");
            live.replace(&right(live.listen(), in_use).file)?;
            live.takes(PREFIX, in_use, "bad-file-stops-reloading").await?;
        }
    }
    Ok(())
}

async fn changes_nothing(
    live: &Live<'_>,
    bad: &BadFile,
    in_use: &RecordingBackend,
    of_bad: &RecordingBackend,
) -> Outcome {
    let before = live.running.written().map(|(_, text)| text.len());
    live.replace(&bad.file)?;
    let written = Instant::now();
    let reported = loop {
        let [(_, stdout), (_, stderr)] = live.running.written();
        let (stdout, stderr) = (since(&stdout, before[0]), since(&stderr, before[1]));
        if let Some(panic) = PanicLine::find(stderr) {
            let actual = format!("a panic at {}: {}", panic.location, panic.message);
            let found = found(live, "crashes-on-bad-file", bad, stderr);
            return Err(found.compared("a message, and the old configuration", actual).fail());
        }
        let words = Words { stderr, stdout, path: &live.path };
        match words.name(bad.lines.as_ref()) {
            Ok(()) => break Ok(()),
            Err(unsaid) if written.elapsed() > SEEN && is_late(live, written).await => {
                let nothing = stderr.trim().is_empty() && unsaid.id == "file-not-named";
                let id = if nothing { "bad-file-not-reported" } else { unsaid.id };
                let found = found(live, id, bad, stderr);
                break Err(found.compared(unsaid.expected, unsaid.actual).timed().fail());
            }
            Err(_) => {}
        }
        live.lives("ends-on-bad-file")
            .await
            .map_err(|finding| finding.map(|found| about(found, live, bad)))?;
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let answered = live.ask(PREFIX).await;
    live.lives("ends-on-bad-file")
        .await
        .map_err(|finding| finding.map(|found| about(found, live, bad)))?;
    let id = match &answered {
        _ if is_of(&answered, in_use) => return reported,
        _ if is_of(&answered, of_bad) => "bad-file-taken",
        Ok(_) => "bad-file-empties",
        Err(trouble) => {
            // It waits for the word of its end.
            let finding = live.running.trouble(trouble, &live.request(PREFIX)).await;
            live.lives("ends-on-bad-file")
                .await
                .map_err(|ended| ended.map(|found| about(found, live, bad)))?;
            return Err(finding);
        }
    };
    let seen = in_words(&answered);
    Err(found(live, id, bad, "")
        .compared(format!("an answer of {}", in_use.name()), &seen)
        .with("seen", seen)
        .fail())
}

/// Whether the report should have come by now.
async fn is_late(live: &Live<'_>, since: Instant) -> bool {
    let asked = Instant::now();
    // What comes of it is looked at afterwards.
    let _ = live.ask(PREFIX).await;
    Live::is_late(since, asked.elapsed())
}

/// What came behind what was there before.
fn since(text: &str, before: usize) -> &str {
    text.get(before..).unwrap_or(text)
}

fn found(live: &Live<'_>, id: &'static str, bad: &BadFile, stderr: &str) -> Diagnosis {
    about(Diagnosis::new(id), live, bad)
        .with("said", first_of(stderr))
        .with("seconds", format!("{:.1}", SEEN.as_secs_f64()))
        .with("output", live.last_lines())
}

fn about(found: Diagnosis, live: &Live<'_>, bad: &BadFile) -> Diagnosis {
    let line = bad.lines.as_ref().map_or(0, |lines| *lines.start());
    found
        .with("file", live::name_of(&live.path))
        .with("line", line)
        .with("wrong", &*bad.wrong)
        .repeat(by_hand(&bad.wrong))
}

/// Something wrong behind a file that was right.
fn by_hand(wrong: &str) -> Vec<String> {
    let mut commands = live::by_hand("");
    commands.truncate(3);
    // Of a route that is there already it would be a second pool, which is no TOML.
    let route = if wrong.starts_with("pool = ") { "[[route]]\nprefix = \"/wrong\"\n" } else { "" };
    let lines = format!("{route}{wrong}");
    let file = lines.lines().fold(ConfigFile::new(), ConfigFile::line).command("wrong.toml");
    commands.push(format!("{file}; cat lab.toml wrong.toml >next.toml && mv next.toml lab.toml"));
    commands.push("sleep 2; curl -si 127.0.0.1:6188/get".to_owned());
    commands
}
