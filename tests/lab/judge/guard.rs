//! Whatever a program does, it is ended, and all that it has started.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pingora_lab::backends::ports;
use pingora_lab::judge::program::{ExitKind, Guarded, wait_until_listening};

use super::run::{MEMORY, Mark, PATIENCE, Run, block_on, command, guard_exe, perl, shell};

/// The guard of a program: its parent.
fn guard_of(run: &Run) -> Pid {
    let pid = run.guarded.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    Pid::from_raw(parent.trim().parse().expect("a number"))
}

#[test]
fn it_is_told_how_a_program_ended() {
    block_on(async {
        for (script, expected) in [
            ("exit 0", ExitKind::Code(0)),
            ("echo out; echo err >&2; exit 7", ExitKind::Code(7)),
            ("kill -SEGV $$", ExitKind::Signal(11)),
            ("kill -KILL $$", ExitKind::Signal(9)),
        ] {
            let run = Run::start(shell(script)).await;
            assert_eq!(run.guarded.wait_exited().await, Some(expected), "{script}");
            let before_the_end = run.guarded.output();
            let ended = run.end().await;
            assert_eq!(ended.exit, Some(expected), "{script}");
            if expected == ExitKind::Code(7) {
                assert_eq!(before_the_end.stdout.text(), "out\n");
                assert_eq!(before_the_end.stderr.text(), "err\n");
            }
        }
    });
}

#[test]
fn a_program_gets_the_ordered_environment_a_null_stdin_and_a_group_of_its_own() {
    block_on(async {
        let (mut launch, mark) = shell("env; pwd; cat; ulimit -c; cut -d' ' -f1,5 /proc/$$/stat");
        launch.cwd = "/usr".into();
        let run = Run::start((launch, mark.clone())).await;
        let pid = run.guarded.pid();
        assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(0)));
        let said = run.end().await.output.stdout.text();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.contains(&format!("LAB_MARK={}", mark.text()).as_str()), "{said}");
        assert!(lines.contains(&"RUST_BACKTRACE=0"), "{said}");
        // Cargo, which runs this test, has set many.
        assert!(!lines.iter().any(|line| line.starts_with("CARGO")), "{said}");
        assert!(lines.ends_with(&["/usr", "0", &format!("{pid} {pid}")]), "{said}");
    });
}

#[test]
fn an_interrupt_reaches_the_program() {
    block_on(async {
        let script = "trap 'echo bye; exit 3' INT; echo ready; while :; do sleep 0.02; done";
        let run = Run::start(shell(script)).await;
        run.said("ready").await;
        run.guarded.interrupt().await.unwrap();
        assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(3)));
        assert_eq!(run.end().await.output.stdout.text(), "ready\nbye\n");
    });
}

#[test]
fn to_be_told_to_end_is_for_the_programs_own_process() {
    block_on(async {
        for (quits, expected) in [(false, 3), (true, 4)] {
            // The child says what has reached it; the program leaves without it.
            let script = "(trap 'echo child' TERM QUIT; while :; do sleep 0.02; done) & \
                 trap 'echo bye; exit 3' TERM; trap 'echo bye; exit 4' QUIT; echo ready; \
                 while :; do sleep 0.02; done";
            let run = Run::start(shell(script)).await;
            run.said("ready").await;
            let guarded = &run.guarded;
            if quits { guarded.quit().await } else { guarded.terminate().await }.unwrap();
            assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(expected)));
            let ended = run.end().await;
            assert_eq!(ended.output.stdout.text(), "ready\nbye\n");
            assert!(ended.nothing_left);
        }
    });
}

/// As a shell without job control starts what it has in the background.
#[test]
fn signals_that_whoever_judges_ignores_reach_the_program_all_the_same() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let deaf = folder.path().join("deaf");
        let lab = guard_exe().display();
        let script = format!("#!/bin/sh\ntrap '' INT QUIT TERM HUP\nexec {lab} \"$@\"\n");
        std::fs::write(&deaf, script).unwrap();
        std::fs::set_permissions(&deaf, std::fs::Permissions::from_mode(0o700)).unwrap();
        for signal in ["INT", "QUIT", "TERM", "HUP"] {
            let script = format!("trap 'exit 5' {signal}; kill -{signal} $$; exit 6");
            let (launch, mark) = shell(&script);
            let guarded = Guarded::start(&deaf, &launch.order(MEMORY)).await.unwrap();
            let run = Run { guarded, mark };
            assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(5)), "{signal}");
            run.end().await;
        }
    });
}

#[test]
fn a_loop_that_ignores_signals_is_ended() {
    block_on(async {
        let script = "trap '' TERM INT HUP; echo ready; while :; do :; done";
        let run = Run::start(shell(script)).await;
        run.said("ready").await;
        run.guarded.interrupt().await.unwrap();
        // Long enough for one that does not ignore it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(run.guarded.exited(), None);
        assert_eq!(run.end().await.exit, Some(ExitKind::Signal(9)));
    });
}

#[test]
fn the_guard_stays_when_a_terminal_signals_it() {
    block_on(async {
        let run = Run::start(shell("echo ready; sleep 60")).await;
        run.said("ready").await;
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
            kill(guard_of(&run), signal).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(run.guarded.exited(), None);
        run.end().await;
    });
}

/// A look at who descends from whom may miss one whose parent ends meanwhile.
#[test]
fn a_listener_that_changes_its_parent_all_the_time_is_the_programs_own() {
    block_on(async {
        let listen = ports::free().unwrap();
        let script = format!(
            "use Time::HiRes 'time';
             my $s = IO::Socket::IP->new(LocalAddr => '{}', LocalPort => {}, Listen => 5) or die;
             my $end = time + 0.3;
             while (time < $end) {{ exit 0 if fork; select undef, undef, undef, 0.0002 }}
             sleep 60 while 1;",
            listen.ip(),
            listen.port()
        );
        let run = Run::start(perl(&script)).await;
        assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(0)));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(250) {
            assert_eq!(wait_until_listening(&run.guarded, listen, PATIENCE).await, Ok(()));
        }
        run.end().await;
    });
}

#[test]
fn a_daemon_that_has_left_its_group_and_parent_is_ended() {
    block_on(async {
        let listen = ports::free().unwrap();
        let script = format!(
            "my $s = IO::Socket::IP->new(LocalAddr => '{}', LocalPort => {}, Listen => 5) or die;
             exit 0 if fork; setsid(); exit 0 if fork; setsid();
             $SIG{{TERM}} = $SIG{{INT}} = 'IGNORE'; print 'daemon'; sleep 60 while 1;",
            listen.ip(),
            listen.port()
        );
        let run = Run::start(perl(&script)).await;
        assert_eq!(run.guarded.wait_exited().await, Some(ExitKind::Code(0)));
        run.said("daemon").await;
        assert_eq!(wait_until_listening(&run.guarded, listen, PATIENCE).await, Ok(()));
        // The one between ends after it has begun the daemon.
        let deadline = Instant::now() + PATIENCE;
        while run.mark.processes().len() > 1 {
            assert!(Instant::now() < deadline, "more than the daemon stay");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(run.mark.processes().len(), 1, "the daemon only");
        run.end().await;
        TcpListener::bind(listen).expect("the port is free again");
    });
}

#[test]
fn more_processes_than_a_proxy_needs_are_ended_at_once() {
    block_on(async {
        let each_by_one = "for (1..200) { if (!fork) { setsid(); sleep 60; exit } } sleep 60;";
        // 256 of them, and nothing more once they are there.
        let doubling = "fork for 1..8; sleep 60;";
        for script in [each_by_one, doubling] {
            let run = Run::start(perl(script)).await;
            let exit = tokio::time::timeout(PATIENCE, run.guarded.wait_exited()).await;
            assert_eq!(exit, Ok(Some(ExitKind::Signal(9))), "{script}");
            let count = run.guarded.too_many_processes().expect("it is told why");
            assert!((65..=256).contains(&count), "{count}");
            run.end().await;
        }
    });
}

#[test]
fn a_program_that_forks_and_leaves_without_pause_is_ended() {
    block_on(async {
        // It gives up by itself after a minute.
        let script =
            "my $t = time + 60; print 'ready'; while (time < $t) { exit if fork; setsid() }";
        let run = Run::start(perl(script)).await;
        run.said("ready").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        run.end().await;
    });
}

#[test]
fn a_flood_of_output_neither_blocks_nor_is_kept() {
    block_on(async {
        let run = Run::start(shell("echo first; yes >&2 & yes")).await;
        let left_out = |run: &Run| {
            let output = run.guarded.output();
            output.stdout.left_out().min(output.stderr.left_out())
        };
        run.until("20 MB", |run| left_out(run) > 20_000_000).await;
        let output = run.end().await.output;
        for tail in [output.stdout, output.stderr] {
            assert!(tail.text().len() < 97 * 1024, "{} bytes kept", tail.text().len());
            assert_eq!(tail.last_lines(2)[0], "y");
        }
    });
}

#[test]
fn a_program_that_eats_memory_meets_its_limit() {
    block_on(async {
        let run = Run::start_with(command(&["tail", "/dev/zero"]), 64 << 20).await.unwrap();
        let exit = tokio::time::timeout(PATIENCE, run.guarded.wait_exited()).await;
        assert_eq!(exit, Ok(Some(ExitKind::Code(1))));
        assert!(run.end().await.output.stderr.text().contains("memory"));
    });
}

#[test]
fn a_program_is_ended_when_nobody_wants_it_any_more() {
    block_on(async {
        let script = "exit 0 if fork; setsid(); print 'ready'; sleep 60;";
        let run = Run::start(perl(script)).await;
        run.said("ready").await;
        assert!(!run.mark.processes().is_empty());
        drop(run.guarded);
        tokio::task::spawn_blocking(move || run.mark.wait_until_gone()).await.unwrap();
    });
}

/// Not a test: the judge that the next test kills.
#[test]
#[ignore = "another test runs it"]
fn a_judge_to_be_killed() {
    block_on(async {
        let script = "if (fork) { sleep 60 } setsid(); print 'ready'; sleep 60;";
        let run = Run::start(perl(script)).await;
        run.said("ready").await;
        println!("\n{}", run.mark.text());
        // The one who kills it closes nothing before.
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_program_is_ended_when_its_judge_is_killed() {
    let mut judge = Command::new(std::env::current_exe().unwrap())
        .args(["judge::guard::a_judge_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(judge.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mark = lines.find(|line| line.starts_with("mark-"));
    let running = mark.as_deref().map(|mark| Mark::from_text(mark).processes().len());
    judge.kill().unwrap();
    judge.wait().unwrap();
    assert_eq!(running, Some(2), "the program and its child");
    Mark::from_text(&mark.unwrap()).wait_until_gone();
}

#[test]
fn a_program_that_kills_its_guard_is_ended_all_the_same() {
    block_on(async {
        // Once it runs, having left the group too.
        let script = "exit sleep 60 if !fork; setsid(); print 'ready'; sleep 60";
        let run = Run::start(perl(script)).await;
        run.said("ready").await;
        kill(guard_of(&run), Signal::SIGKILL).unwrap();
        let exit = tokio::time::timeout(PATIENCE, run.guarded.wait_exited()).await;
        assert_eq!(exit, Ok(None), "nobody knows");
        assert!(!run.guarded.end().await.nothing_left);
        assert_eq!(run.mark.processes(), Vec::<i32>::new());
        // So soon that the guard may not have said that it runs.
        let (launch, mark) = shell("kill -KILL $PPID; sleep 60");
        if let Ok(guarded) = Guarded::start(guard_exe(), &launch.order(MEMORY)).await {
            assert_eq!(guarded.wait_exited().await, None);
        }
        assert_eq!(mark.processes(), Vec::<i32>::new());
    });
}

#[test]
fn a_program_that_stops_its_guard_is_ended() {
    block_on(async {
        let run = Run::start(shell("echo ready; sleep 60")).await;
        run.said("ready").await;
        kill(guard_of(&run), Signal::SIGSTOP).unwrap();
        run.end().await;
    });
}

#[test]
fn a_port_that_was_given_can_be_listened_on() {
    let listen: SocketAddr = ports::free().unwrap();
    TcpListener::bind(listen).unwrap();
}
