//! Another process takes the place of the first, and nobody notices.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::stress::{alone, length, measured};
use crate::support::{Balancer, Client, Program, Upstream, get};

/// A configuration, and the socket over which it can be upgraded.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(text: &str) -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        lab.write(text);
        lab
    }

    fn write(&self, text: &str) {
        let upgrade = format!("[upgrade]\nsocket = '{}'\nidle = '2s'\n", self.socket().display());
        std::fs::write(self.file(), format!("{upgrade}{text}")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("lab.toml")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("upgrade.sock")
    }

    fn start(&self) -> (Balancer, Vec<SocketAddr>) {
        Balancer::listening(&self.file())
    }

    /// Starts a process that takes over from the one that runs.
    fn upgrade(&self) -> (Balancer, Vec<SocketAddr>) {
        Balancer::listening_with(&self.file(), &["--upgrade"])
    }

    /// Runs one that is expected to fail, and returns what it says.
    fn fails(&self, flags: &[&str]) -> String {
        let file = self.file();
        let args = ["serve", "--config", file.to_str().unwrap()];
        let (code, _, stderr) = Program::run(args.iter().chain(flags));
        assert_eq!(code, 1, "{stderr}");
        stderr
    }
}

const LISTENER: &str = "[[listener]]\naddress = '127.0.0.1:0'\n";

fn pool(address: SocketAddr) -> String {
    format!("[[pool]]\n[[pool.backend]]\nname = 'a'\naddress = '{address}'\n")
}

fn one_listener(address: SocketAddr) -> Lab {
    Lab::new(&format!("{LISTENER}{}", pool(address)))
}

/// Waits for the end of a process that another has taken over from.
fn ends_well(mut balancer: Balancer) {
    let status = balancer.program().wait();
    assert_eq!(status.code(), Some(0), "{:#?}", balancer.stderr());
    let lines = balancer.stderr();
    assert!(lines.iter().any(|line| line.contains("another process has taken over")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("all requests have finished")), "{lines:#?}");
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends requests until it is told to stop, and counts the answers. Any failure is a
/// panic.
fn keep_asking(address: SocketAddr, stop: &AtomicBool, keep: bool, pause: Duration) -> usize {
    let mut answers = 0;
    while !stop.load(Ordering::SeqCst) {
        let mut client = Client::connect(address);
        loop {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = client.answer().expect("an answer");
            assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
            answers += 1;
            thread::sleep(pause);
            if !keep || answer.header("connection") == Some("close") || stop.load(Ordering::SeqCst)
            {
                break;
            }
        }
    }
    answers
}

#[test]
fn no_request_fails_during_upgrades_under_load() {
    let _alone = alone();
    let upstream = Upstream::scripted(|received, stream| {
        if received.line.contains("slow") {
            thread::sleep(Duration::from_millis(300));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").is_ok()
    });
    let lab = one_listener(upstream.address);
    let (mut running, addresses) = lab.start();
    let address = addresses[0];
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..10)
        .map(|number| {
            let stop = Arc::clone(&stop);
            let keep = number % 2 == 0;
            // Some are never idle, some for less than the old process is patient.
            let pause = Duration::from_millis(if number < 4 { 0 } else { 200 * (number - 3) });
            thread::spawn(move || keep_asking(address, &stop, keep, pause))
        })
        .collect();
    let http2 = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || http2_client(address, &stop))
    };
    // Three, or as many as a long run is long.
    let (begun, mut upgrades) = (Instant::now(), 0);
    while upgrades < 3 || begun.elapsed() < length() {
        let (next, its_addresses) = lab.upgrade();
        assert_eq!(its_addresses, addresses);
        ends_well(std::mem::replace(&mut running, next));
        upgrades += 1;
    }
    stop.store(true, Ordering::SeqCst);
    let answers: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(answers.iter().all(|answers| *answers > 3), "{answers:?}");
    let over_http2 = http2.join().unwrap();
    assert!(over_http2 > 3);
    let run = "upgrades under load";
    measured(run, "upgrades", upgrades, "-");
    let count = answers.iter().sum::<usize>() + over_http2;
    measured(run, "requests, failed", format!("{count}, 0"), "0 failed");
    assert_eq!(running.end_with(libc::SIGTERM).0, Some(0));
    assert!(!lab.socket().exists(), "the last one removes the socket");
}

/// The same over HTTP/2, several requests at a time.
fn http2_client(address: SocketAddr, stop: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let mut answers = 0;
    while !stop.load(Ordering::SeqCst) {
        runtime.block_on(async {
            let ask = || async {
                let answer = client.get(format!("http://{address}/")).send().await.unwrap();
                assert_eq!(
                    (answer.status().as_u16(), answer.text().await.unwrap()),
                    (200, "a".into())
                );
            };
            tokio::join!(ask(), ask(), ask());
            answers += 3;
        });
    }
    answers
}

#[test]
fn a_slow_answer_finishes_where_it_began_and_its_connection_is_closed() {
    let (upstream, open) = Upstream::gated("slow");
    let lab = one_listener(upstream.address);
    let (old, addresses) = lab.start();
    // A request has been answered on it, so it is the old process's.
    let mut idle = Client::connect(addresses[0]);
    idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(1);
    open.send(()).unwrap();
    assert_eq!(idle.answer().expect("an answer").header("connection"), Some("keep-alive"));
    let mut slow = Client::connect(addresses[0]);
    slow.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.wait_for_requests(2);
    let (_new, _) = lab.upgrade();
    old.event(|event| (event["message"] == "another process has taken over").then_some(()));
    // A request on a connection that the old process has is answered too.
    let answered = thread::spawn(move || {
        idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = idle.answer().expect("an answer");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(idle.is_closed());
    });
    upstream.wait_for_requests(3);
    open.send(()).unwrap();
    open.send(()).unwrap();
    let answer = slow.answer().expect("the answer comes");
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(slow.is_closed());
    answered.join().unwrap();
    ends_well(old);
}

#[test]
fn a_new_process_that_fails_leaves_the_old_one_as_it_was() {
    let upstream = Upstream::named("a");
    let lab = one_listener(upstream.address);
    let (old, addresses) = lab.start();
    let address = addresses[0];
    assert_eq!(std::fs::metadata(lab.socket()).unwrap().permissions().mode() & 0o777, 0o600);

    // A configuration that is wrong.
    lab.write(&format!("{LISTENER}adress = 1\n{}", pool(upstream.address)));
    assert!(lab.fails(&["--upgrade"]).contains("did you mean"));
    assert_eq!(get(address, "/", &[]).text(), "a");

    // A backend whose name does not resolve, after the sockets were handed over.
    lab.write(&format!("{LISTENER}[[pool]]\n[[pool.backend]]\naddress = 'no.invalid:80'\n"));
    assert!(lab.fails(&["--upgrade"]).contains("does not resolve"));
    assert_eq!(get(address, "/", &[]).text(), "a");

    // A listener that cannot be bound.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("[[listener]]\naddress = '{}'\n", taken.local_addr().unwrap());
    lab.write(&format!("{LISTENER}{other}{}", pool(upstream.address)));
    assert!(lab.fails(&["--upgrade"]).contains("taken by another process"));
    assert_eq!(get(address, "/", &[]).text(), "a");

    // One that is killed while it checks its backends.
    let (_held, full) = super::health::full_queue(([127, 0, 0, 1], 0).into());
    lab.write(&format!("{LISTENER}{}", pool(full)));
    let file = lab.file();
    let args = ["serve", "--config", file.to_str().unwrap(), "--upgrade"];
    let count =
        |old: &Balancer, what: &str| old.stderr().iter().filter(|line| line.contains(what)).count();
    let before = count(&old, "is getting ready");
    let killed = Program::start(args);
    wait_until(|| count(&old, "is getting ready") > before);
    drop(killed);
    wait_until(|| count(&old, "did not take over") > before);
    assert_eq!(get(address, "/", &[]).text(), "a");

    // And the next one succeeds.
    lab.write(&format!("{LISTENER}{}", pool(upstream.address)));
    let (_new, _) = lab.upgrade();
    ends_well(old);
    assert_eq!(get(address, "/", &[]).text(), "a");
}

#[test]
fn listeners_are_added_and_removed() {
    let upstream = Upstream::named("a");
    // Addresses that stay the same, on ports that are free.
    let at = |number: u8| format!("[[listener]]\naddress = '127.77.0.{number}:0'\n");
    let lab = Lab::new(&format!("{}{}{}", at(1), at(2), pool(upstream.address)));
    let (old, before) = lab.start();
    lab.write(&format!("{}{}{}", at(2), at(3), pool(upstream.address)));
    let (_new, after) = lab.upgrade();
    ends_well(old);
    assert_eq!(before[1], after[0], "what stays is handed over");
    for address in after {
        assert_eq!(get(address, "/", &[]).text(), "a");
    }
    let gone = TcpStream::connect(before[0]).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn what_makes_no_sense_is_told() {
    let upstream = Upstream::named("a");
    let lab = one_listener(upstream.address);
    // Nobody is there.
    let nobody = lab.fails(&["--upgrade"]);
    assert!(nobody.contains("no process that could be upgraded is at"), "{nobody}");
    assert!(nobody.contains("start without --upgrade"), "{nobody}");
    // Something else is there.
    std::fs::write(lab.socket(), "precious").unwrap();
    let other = lab.fails(&[]);
    assert!(other.contains("is no socket"), "{other}");
    assert_eq!(std::fs::read_to_string(lab.socket()).unwrap(), "precious");
    std::fs::remove_file(lab.socket()).unwrap();
    // One is left of a process that was killed.
    let (killed, _) = lab.start();
    drop(killed);
    assert!(lab.socket().exists());
    // Somebody is there already.
    let (_running, addresses) = lab.start();
    let second = lab.fails(&[]);
    assert!(second.contains("take over from it with --upgrade"), "{second}");
    assert_eq!(get(addresses[0], "/", &[]).text(), "a");
    // There is no socket in the configuration.
    std::fs::write(lab.file(), pool(upstream.address)).unwrap();
    let none = lab.fails(&["--upgrade"]);
    assert!(none.contains("[upgrade] socket"), "{none}");
}

#[test]
fn the_admin_listener_is_handed_over_too_and_systemd_is_told() {
    let upstream = Upstream::named("a");
    let admin = "[admin]\naddress = '127.0.0.1:0'\n";
    let lab = Lab::new(&format!("{admin}{LISTENER}{}", pool(upstream.address)));
    let (old, _) = lab.start();
    let before = old.admin();
    let path = lab.folder.path().join("notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let file = lab.file();
    let args = ["serve", "--log", "json", "--upgrade", "--config", file.to_str().unwrap()];
    let new = Program::start_with(args, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    ends_well(old);
    let status = before.get("/status").json();
    let told = format!("READY=1\nMAINPID={}", status["pid"]);
    let mut bytes = [0; 64];
    let read = systemd.recv(&mut bytes).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..read]).unwrap(), told);
    assert_eq!(before.get("/readyz").status, 200);
    drop(new);
}

/// A program of the user `nobody`, if this one may start any: it does what the Perl text
/// says with the path of a socket.
fn as_nobody(text: &str, path: &std::path::Path) -> Option<std::process::Child> {
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let mut command = std::process::Command::new("perl");
    command.args(["-MSocket", "-e", text]).arg(path).uid(NOBODY).gid(NOBODY);
    command.stdout(std::process::Stdio::piped());
    Some(command.spawn().expect("perl starts"))
}

/// Has every user reach a file.
fn open_to_all(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn another_user_is_handed_nothing_whatever_the_file_lets_it_do() {
    let upstream = Upstream::named("a");
    let lab = one_listener(upstream.address);
    let (old, addresses) = lab.start();
    open_to_all(lab.folder.path(), 0o777);
    open_to_all(&lab.socket(), 0o666);
    let asks = "socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ARGV[0])) or die $!;
        defined(my $read = sysread(S, my $bytes, 100)) or die $!; print $read";
    let Some(stranger) = as_nobody(asks, &lab.socket()) else {
        crate::support::say("skipped: only root can be another user too");
        return;
    };
    let output = stranger.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0", "nothing comes but the end");
    old.event(|event| {
        let refused = event["message"] == "a stranger asked to take over, refused";
        (refused && event["reason"].as_str()?.ends_with("is of user 65534")).then_some(())
    });
    assert_eq!(get(addresses[0], "/", &[]).text(), "a");
    // Nor does it keep whoever may from taking over.
    let (new, _) = lab.upgrade();
    ends_well(old);
    drop(new);

    // A stranger that waits in the place of the running process is not believed.
    let _ = std::fs::remove_file(lab.socket());
    let waits = "socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un($ARGV[0])) or die $!;
        listen(S, 5) or die $!; $| = 1; print \"ready\\n\"; accept(C, S); sleep 60";
    let mut stranger = as_nobody(waits, &lab.socket()).expect("root");
    let mut ready = [0; 6];
    std::io::Read::read_exact(stranger.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let told = lab.fails(&["--upgrade"]);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(told.contains("is not to be trusted") && told.contains("of user 65534"), "{told}");
    assert!(told.contains("run both as the same user"), "{told}");
}
