//! What a terminal shows, and what a pipe does not get.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr;

use super::origin::{Origin, proxied, response};
use super::probe;
use crate::support::Program;

const LONG_NAME: &str = "jsonplaceholder.typicode.com";

/// Runs the probe in a terminal of so many columns: exit code and all that it
/// wrote there.
fn in_terminal(columns: u16, args: &[&str], adjust: impl FnOnce(&mut Command)) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("a granted terminal");
    unlockpt(&terminal).expect("an unlocked terminal");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("a size");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let open = || -> OwnedFd {
        let name = name.to_str().expect("a path");
        std::fs::File::options().read(true).write(true).open(name).expect("the terminal").into()
    };

    let mut command = Command::new(env!("CARGO_BIN_EXE_pingora-lab"));
    command
        .arg("probe")
        .args(args)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .stdout(open())
        .stderr(open());
    adjust(&mut command);
    let mut child = command.spawn().expect("the built binary starts");
    // The command holds the terminal open; without it the reading ends when
    // the program does.
    drop(command);
    let mut written = Vec::new();
    // Linux reports the end of a terminal as an error (EIO).
    let _ = std::fs::File::from(terminal).read_to_end(&mut written);
    let code = child.wait().expect("it ends").code().expect("an exit code");
    (code, String::from_utf8(written).expect("UTF-8"))
}

/// The text without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let origin = Origin::answering(|request| proxied(LONG_NAME, request));
    let down = Origin::script(drop);
    for columns in [40, 60, 80, 120] {
        for language in ["en", "zh"] {
            for url in [origin.url("/"), down.url("/a/rather/long/path/to/wrap/somewhere")] {
                let args = ["--lang", language, "--count", "3", &url];
                let (_, text) = in_terminal(columns, &args, |_| {});
                assert!(text.lines().count() > 10, "{text}");
                for line in plain(&text).lines() {
                    let width = line.width();
                    assert!(width <= columns.into(), "{width} > {columns}: {line:?}\n{text}");
                }
            }
        }
    }
}

#[test]
fn chinese_and_latin_names_line_up() {
    let origin = Origin::answering(|request| {
        let name = if request.connection == 1 { "后端" } else { "backend-b" };
        response("200 OK", &[("x-served-by", name)], "")
    });
    let (_, stdout, _) = probe(&["--count", "2", "--no-keepalive", &origin.url("/")]);
    let bars: Vec<usize> = stdout
        .lines()
        .filter_map(|line| line.split_once('█').map(|(before, _)| before.width()))
        .collect();
    assert_eq!(bars.len(), 2, "{stdout}");
    assert_eq!(bars[0], bars[1], "{stdout}");
    let times: Vec<usize> =
        stdout.lines().filter(|line| line.starts_with('#')).map(|line| line.width()).collect();
    assert_eq!(times[0], times[1], "{stdout}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let origin = Origin::answering(|request| proxied("a", request));
    let url = origin.url("/");
    let args = ["--count", "1", &url];
    assert!(in_terminal(80, &args, |_| {}).1.contains("\u{1b}[32m"));
    let without = in_terminal(80, &args, |command| {
        command.env("NO_COLOR", "1");
    });
    assert!(!without.1.contains('\u{1b}'), "{:?}", without.1);
    let never = in_terminal(80, &["--color", "never", "--count", "1", &url], |_| {});
    assert!(!never.1.contains('\u{1b}'), "{:?}", never.1);
    assert!(!probe(&args).1.contains('\u{1b}'));
    let always = Program::run(["probe", "--color", "always", "--count", "1", &url]);
    assert!(always.1.contains("\u{1b}[32m"), "{:?}", always.1);
}

#[test]
fn a_long_run_shows_a_bar_on_a_terminal_and_none_in_a_pipe() {
    let origin = Origin::answering(|_| response("200 OK", &[], ""));
    let url = origin.url("/");
    for (language, expected) in [("en", " done, 0 failed, "), ("zh", "，失败 0，")] {
        let args = ["--lang", language, "--duration", "1s", "--rate", "50", &url];
        let (code, text) = in_terminal(80, &args, |_| {});
        assert_eq!(code, 0);
        assert!(text.contains(expected) && text.contains("/1 s"), "{text:?}");
    }
    let (_, _, stderr) = probe(&["--duration", "1s", "--rate", "50", &url]);
    assert_eq!(stderr, "");
}
