//! Whether a program has started, and why not.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use pingora_lab::backends::ports;
use pingora_lab::judge::program::{
    ExitKind, Guarded, Launch, PanicLine, StartFailure, wait_until_listening,
};

use super::run::{MEMORY, Mark, PATIENCE, Run, block_on, command, guard_exe, perl, shell};

/// Starts a program, waits for it to listen, and ends it.
async fn outcome(program: (Launch, Mark), listen: SocketAddr) -> Result<(), StartFailure> {
    let run = Run::start(program).await;
    let outcome = wait_until_listening(&run.guarded, listen, PATIENCE).await;
    run.end().await;
    outcome
}

/// A script that listens on this address and stays.
fn listener(address: &str, port: u16) -> String {
    format!("{} sleep 60;", listens(address, port))
}

fn listens(address: &str, port: u16) -> String {
    format!(
        "push @s, (IO::Socket::IP->new(LocalAddr => '{address}', LocalPort => {port}, Listen => 5) \
         or die \"cannot listen: $@ $!\\n\");"
    )
}

#[test]
fn a_program_that_listens_has_started() {
    block_on(async {
        for address in ["127.0.0.1", "0.0.0.0", "::"] {
            let listen = ports::free().unwrap();
            let program = perl(&listener(address, listen.port()));
            assert_eq!(outcome(program, listen).await, Ok(()), "{address}");
        }
        // Not its own process, but one of those that it has started.
        let listen = ports::free().unwrap();
        let script = format!("if (fork) {{ sleep 60 }} {}", listener("127.0.0.1", listen.port()));
        assert_eq!(outcome(perl(&script), listen).await, Ok(()));
    });
}

#[test]
fn the_start_is_seen_at_once_and_no_connection_is_made() {
    block_on(async {
        let listen = ports::free().unwrap();
        let accepts = "$s[0]->accept; print 'a connection';";
        let script = format!("print time(); {} {accepts}", listens("127.0.0.1", listen.port()));
        let run = Run::start(perl(&script)).await;
        let start = Instant::now();
        assert_eq!(wait_until_listening(&run.guarded, listen, PATIENCE).await, Ok(()));
        println!("listened after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let said = run.end().await.output.stdout.text();
        assert!(!said.contains("connection"), "{said}");
    });
}

#[test]
fn several_listeners_in_turn_are_waited_for() {
    block_on(async {
        let (other, listen) = (ports::free().unwrap(), ports::free().unwrap());
        let script = format!(
            "{} select(undef, undef, undef, 0.2); {}",
            listens("127.0.0.1", other.port()),
            listener("127.0.0.1", listen.port())
        );
        assert_eq!(outcome(perl(&script), listen).await, Ok(()));
    });
}

#[test]
fn a_program_that_listens_elsewhere_is_told_where() {
    block_on(async {
        let (found, told) = (ports::free().unwrap(), ports::free().unwrap());
        let program = perl(&listener("127.0.0.1", found.port()));
        let expected = StartFailure::ListensElsewhere { told, found: vec![found] };
        assert_eq!(outcome(program, told).await, Err(expected));
    });
}

#[test]
fn a_program_that_never_listens_is_not_waited_for_longer_than_agreed() {
    block_on(async {
        let run = Run::start(shell("echo thinking; sleep 60")).await;
        run.said("thinking").await;
        let patience = Duration::from_millis(300);
        let start = Instant::now();
        let failure = wait_until_listening(&run.guarded, ports::free().unwrap(), patience).await;
        assert!(start.elapsed() >= patience);
        let last_lines = vec!["thinking".to_owned()];
        assert_eq!(failure, Err(StartFailure::NeverListened { after: patience, last_lines }));
        run.end().await;
    });
}

#[test]
fn a_program_that_ends_at_once_is_shown_with_its_last_words() {
    block_on(async {
        let script = "echo one >&2; echo two >&2; exit 4";
        let expected = StartFailure::ExitedAtOnce {
            exit: ExitKind::Code(4),
            panic: None,
            last_lines: vec!["one".to_owned(), "two".to_owned()],
        };
        assert_eq!(outcome(shell(script), ports::free().unwrap()).await, Err(expected));

        let script = r#"echo "
thread 'main' ($$) panicked at stages/01-first-proxy/main.rs:12:5:
no address
note: run with ..." >&2; exit 101"#;
        let failure = outcome(shell(script), ports::free().unwrap()).await.unwrap_err();
        let StartFailure::ExitedAtOnce { exit: ExitKind::Code(101), panic, .. } = failure else {
            panic!("{failure:?}");
        };
        let location = "stages/01-first-proxy/main.rs:12:5".to_owned();
        assert_eq!(panic, Some(PanicLine { message: "no address".to_owned(), location }));

        let failure = outcome(shell("kill -ABRT $$"), ports::free().unwrap()).await.unwrap_err();
        let expected = ExitKind::Signal(6);
        assert!(
            matches!(failure, StartFailure::ExitedAtOnce { exit, .. } if exit == expected),
            "{failure:?}"
        );
    });
}

#[test]
fn nor_is_one_that_another_process_had_for_as_long_as_it_took_the_program_to_fail() {
    block_on(async {
        let taken = TcpListener::bind(ports::free().unwrap()).unwrap();
        let listen = taken.local_addr().unwrap();
        let run = Run::start(perl(&listener("127.0.0.1", listen.port()))).await;
        let (outcome, ()) =
            futures_util::join!(wait_until_listening(&run.guarded, listen, PATIENCE), async {
                run.guarded.wait_exited().await;
                drop(taken);
            });
        run.end().await;
        assert_eq!(outcome, Err(StartFailure::PortTaken { address: listen, holder: None }));
    });
}

#[test]
fn a_port_that_another_process_has_is_not_the_programs_fault() {
    block_on(async {
        let taken = TcpListener::bind(ports::free().unwrap()).unwrap();
        let listen = taken.local_addr().unwrap();
        let gives_up = listener("127.0.0.1", listen.port());
        let tries_on = format!("while (1) {{ eval {{ {gives_up} }}; sleep 1 }}");
        for script in [gives_up, tries_on] {
            let failure = outcome(perl(&script), listen).await.unwrap_err();
            assert!(failure.is_inconclusive());
            let StartFailure::PortTaken { address, holder: Some(holder) } = failure else {
                panic!("{failure:?}");
            };
            assert_eq!((address, holder.pid), (listen, std::process::id()));
        }
    });
}

#[test]
fn a_program_that_takes_its_own_port_twice_is_at_fault_itself() {
    block_on(async {
        let listen = ports::free().unwrap();
        let script = listens("127.0.0.1", listen.port());
        // The first is closed with the process, before anybody can look twice.
        let failure = outcome(shell("echo Address already in use >&2; exit 1"), listen).await;
        assert!(matches!(failure, Err(StartFailure::ExitedAtOnce { .. })), "{failure:?}");
        let twice = outcome(perl(&format!("{script} {script}")), listen).await;
        // Or it was seen in the moment between the two.
        assert!(matches!(twice, Ok(()) | Err(StartFailure::ExitedAtOnce { .. })), "{twice:?}");
    });
}

#[test]
fn a_program_that_cannot_be_run_is_told_why() {
    block_on(async {
        let no_folder = (
            Launch { cwd: "/there/is/no/such".into(), ..shell("sleep 60").0 },
            "No such file or directory",
        );
        let no_program = (command(&["there-is-no-such-proxy"]).0, "No such file or directory");
        let not_executable = (command(&["/etc/passwd"]).0, "Permission denied");
        let nothing = (command(&[]).0, "the command is empty");
        for (launch, words) in [no_folder, no_program, not_executable, nothing] {
            let error = Guarded::start(guard_exe(), &launch.order(MEMORY)).await.unwrap_err();
            let failure = StartFailure::from(error);
            let StartFailure::CannotStart { reason } = &failure else { panic!("{failure:?}") };
            assert!(reason.contains(words), "{reason}");
            assert!(!failure.is_inconclusive());
        }
        // No guard: not the program's fault.
        let (launch, _) = shell("sleep 60");
        for guard in ["/there/is/no/guard", "/bin/true"] {
            let started = Guarded::start(Path::new(guard), &launch.order(MEMORY)).await;
            let failure = StartFailure::from(started.unwrap_err());
            assert!(failure.is_inconclusive(), "{guard}: {failure:?}");
        }
    });
}

#[test]
fn a_program_that_runs_out_of_memory_is_told_so() {
    block_on(async {
        let listen = ports::free().unwrap();
        let run = Run::start_with(command(&["tail", "/dev/zero"]), 64 << 20).await.unwrap();
        let failure = wait_until_listening(&run.guarded, listen, PATIENCE).await;
        assert!(matches!(failure, Err(StartFailure::OutOfMemory { .. })), "{failure:?}");
        run.end().await;

        // As Rust says it.
        let script = "echo 'memory allocation of 80 bytes failed' >&2; kill -ABRT $$";
        let failure = outcome(shell(script), listen).await;
        assert!(matches!(failure, Err(StartFailure::OutOfMemory { .. })), "{failure:?}");
        // Killed, but not for that.
        let failure = outcome(shell("kill -KILL $$"), listen).await;
        assert!(matches!(failure, Err(StartFailure::ExitedAtOnce { .. })), "{failure:?}");
    });
}

#[test]
fn a_program_with_too_many_processes_is_told_so() {
    block_on(async {
        let failure = outcome(perl("fork for 1..8; sleep 60;"), ports::free().unwrap()).await;
        let Err(StartFailure::TooManyProcesses { count }) = failure else { panic!("{failure:?}") };
        assert!(count > 64, "{count}");
    });
}
