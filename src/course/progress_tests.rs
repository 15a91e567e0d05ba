use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::json;

use super::*;

fn file() -> (tempfile::TempDir, ProgressFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = ProgressFile::new(folder.path().join("progress.json"));
    (folder, file)
}

#[test]
fn what_is_noted_is_read_again() {
    let (_folder, file) = file();
    assert_eq!(file.read().unwrap(), Progress::default());
    let when: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    file.update(|progress| {
        progress.current = Some("02-round-robin".to_owned());
        progress.pass("01-first-proxy", 7, when);
        progress.pass("01-first-proxy", 8, Timestamp::MAX);
        progress.hints.insert("01-first-proxy".to_owned(), 2);
        progress.set_language(Language::Zh);
    })
    .unwrap();
    let progress = file.read().unwrap();
    assert_eq!(progress.current.as_deref(), Some("02-round-robin"));
    assert!(progress.has_passed("01-first-proxy") && !progress.has_passed("02-round-robin"));
    assert_eq!(progress.passed["01-first-proxy"].seed, 7, "the first pass stays");
    assert_eq!(progress.passed["01-first-proxy"].when, when);
    assert_eq!(progress.hints["01-first-proxy"], 2);
    assert_eq!(progress.language(), Some(Language::Zh));
}

#[test]
fn what_a_newer_version_wrote_survives() {
    let (_folder, file) = file();
    let newer = json!({
        "language": "fr",
        "passed": {"23-later": {"seed": 1, "when": "2026-01-02T03:04:05Z", "stars": 3}},
        "theme": {"dark": true},
    });
    std::fs::write(&file.path, newer.to_string()).unwrap();
    assert_eq!(file.read().unwrap().language(), None);
    file.update(|progress| progress.current = Some("01-first-proxy".to_owned())).unwrap();
    let text: Value = serde_json::from_slice(&std::fs::read(&file.path).unwrap()).unwrap();
    assert_eq!(text["language"], newer["language"]);
    assert_eq!(text["passed"], newer["passed"]);
    assert_eq!(text["theme"], newer["theme"]);
    assert_eq!(text["current"], "01-first-proxy");
}

#[test]
fn a_damaged_file_is_moved_aside_and_told_of() {
    let (folder, file) = file();
    for (n, damaged) in ["", "{\"passed\": {", "[]"].into_iter().enumerate() {
        std::fs::write(&file.path, damaged).unwrap();
        let error = file.read().unwrap_err();
        let ProgressError::Damaged { kept, .. } = &error else { panic!("{error}") };
        assert_eq!(kept, &folder.path().join(format!("progress.json.damaged-{}", n + 1)));
        assert_eq!(std::fs::read_to_string(kept).unwrap(), damaged);
        for language in [Language::En, Language::Zh] {
            assert!(error.explain(language).contains(&kept.display().to_string()));
        }
        assert_eq!(file.read().unwrap(), Progress::default());
    }
}

#[test]
fn writers_at_once_lose_nothing() {
    let (_folder, file) = file();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            // Each opens the lock for itself, as another process would.
            let file = file.clone();
            scope.spawn(move || {
                for n in 0..10 {
                    let stage = format!("{writer}-{n}");
                    file.update(|progress| {
                        progress.hints.insert(stage, n);
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(file.read().unwrap().hints.len(), 80);
}

const KILLED: &str = "PINGORA_LAB_TEST_PROGRESS";

/// Not a test of its own: the process that
/// [`a_killed_writer_loses_nothing_that_it_acknowledged`] kills.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn writer_to_be_killed() {
    let Some(path) = std::env::var_os(KILLED) else { return };
    let file = ProgressFile::new(path);
    let first = file.read().unwrap().hints.get("n").copied().unwrap_or(0) + 1;
    for n in first.. {
        file.update(|progress| {
            progress.hints.insert("n".to_owned(), n);
        })
        .unwrap();
        println!("\nacknowledged {n}");
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let (folder, file) = file();
    let name = format!("{}::writer_to_be_killed", module_path!().split_once("::").unwrap().1);
    let (mut acknowledged, mut kills) = (0, 0);
    while acknowledged < 200 || kills < 20 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"])
            .env(KILLED, &file.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let stdout = writer.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let number =
                    line.strip_prefix("acknowledged ").and_then(|n| n.parse::<usize>().ok());
                if let Some(n) = number {
                    let _ = send.send(n);
                }
            }
        });
        // It has begun; from here it dies at any moment of its next writes.
        acknowledged = lines.recv_timeout(Duration::from_secs(20)).expect("a write");
        let end = Instant::now() + Duration::from_micros(rand::rng().random_range(0..40_000));
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(n) => acknowledged = n,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("the writer ended by itself"),
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        reader.join().unwrap();
        acknowledged = lines.try_iter().last().unwrap_or(acknowledged);
        kills += 1;

        let kept = file.read().unwrap().hints["n"];
        // At most one was written and not acknowledged any more.
        assert!((acknowledged..=acknowledged + 1).contains(&kept), "{kept} of {acknowledged}");
        acknowledged = kept;
    }
    // What a killed writer left is gone with the next write.
    file.update(|progress| progress.current = Some("x".to_owned())).unwrap();
    let mut names: Vec<_> =
        folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["progress.json", "progress.lock"]);
}
