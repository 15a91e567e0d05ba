//! Another configuration every 100 ms, under load, and nobody notices.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::load::{Load, Reply};
use super::process::Process;
use super::{alone, length, measured};
use crate::support::certificates::{Authority, Files, Trust, replace};
use crate::support::{Balancer, Upstream};

/// What memory may grow by over a run, in KiB: each configuration takes the place
/// of the one before it.
const KEPT: u64 = 8 * 1024;

/// From one change to the next.
const EVERY: Duration = Duration::from_millis(100);

/// A backend whose answers repeat what the request's rules said.
fn echo() -> Upstream {
    Upstream::scripted(|received, stream| {
        let version = received.values("x-version").concat();
        if received.line.contains("/slow") {
            // Longer than a configuration lasts.
            thread::sleep(Duration::from_millis(250));
        }
        let length = version.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{version}").is_ok()
    })
}

/// Answered by one configuration: the rules for requests and for answers agree.
fn of_one_version(reply: &Reply) -> Result<(), String> {
    let body = String::from_utf8_lossy(&reply.body);
    match reply.status {
        200 if reply.header("x-version") == Some(&*body) => Ok(()),
        200 => Err(format!("{:?} on the way there, {body:?} back", reply.header("x-version"))),
        status => Err(format!("{status} {body}")),
    }
}

struct Lab {
    folder: tempfile::TempDir,
    upstreams: [Upstream; 3],
    certificates: [Files; 2],
    pems: [(String, String); 2],
    authority: Authority,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority");
        let certificates =
            ["one", "two"].map(|name| authority.issue(&["lab.test"]).write(folder.path(), name));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let pems = certificates.clone().map(|files| (read(&files.certificate), read(&files.key)));
        Self { folder, upstreams: [(); 3].map(|()| echo()), certificates, pems, authority }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("lab.toml")
    }

    /// Pools come and go, change their backends, weights and ways of balancing;
    /// routes come and go; the listener has another certificate.
    fn text(&self, turn: usize) -> String {
        let backend = |place: usize| {
            let (place, weight) = (place % 3, 1 + turn % 4);
            let address = self.upstreams[place].address;
            format!(
                "[[pool.backend]]\nname = 'b{place}'\naddress = '{address}'\nweight = {weight}\n"
            )
        };
        let balance = ["round_robin", "random", "least_requests", "consistent_hash"][turn / 2 % 4];
        let (name, one, other) = (turn % 2, backend(turn), backend(turn + 1));
        let more = match turn % 3 {
            0 => "[[route]]\nprefix = '/slow/extra'\npool = 'more'\n",
            1 => "[[route]]\nhosts = ['elsewhere.test']\npool = 'more'\n",
            _ => "",
        };
        let certificate = self.certificates[turn % 2].toml();
        format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n\
             [[listener]]\naddress = '127.0.0.1:0'\n\
             [listener.tls]\ncertificates = [{certificate}]\n\
             [headers.request]\nset = {{ x-version = '{turn}' }}\n\
             [headers.response]\nset = {{ x-version = '{turn}' }}\n\
             [[pool]]\nname = 'p{name}'\nbalance = '{balance}'\n{one}{other}\
             [[pool]]\nname = 'more'\n{}\
             {more}[[route]]\npool = 'p{name}'\n",
            backend(turn + 2)
        )
    }
}

#[test]
fn no_request_fails_while_the_configuration_changes_every_100_ms() {
    let _alone = alone();
    let lab = Lab::new();
    std::fs::write(lab.file(), lab.text(0)).unwrap();
    let (balancer, addresses) = Balancer::listening_with(&lab.file(), &["--admin", "127.0.0.1:0"]);
    let admin = balancer.admin();
    let [plain, secure] = addresses[..] else { panic!("two listeners: {addresses:?}") };
    let process = Process(balancer.id());

    let check = Arc::new(of_one_version);
    let kept = Load { check: check.clone(), ..Load::of(plain) };
    let anew = Load { per_connection: 1, check: check.clone(), ..Load::of(plain) };
    let slow = Load {
        request: "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        check: check.clone(),
        ..Load::of(plain)
    };
    let trust = Trust::in_authority(&lab.authority).config();
    let over_tls = |per_connection| Load {
        tls: Some((trust.clone(), "lab.test")),
        per_connection,
        pace: Duration::from_millis(5),
        check: check.clone(),
        ..Load::of(secure)
    };
    let running = [kept.start(3), anew.start(2), slow.start(2)];
    let over_tls = [over_tls(1).start(1), over_tls(50).start(1)];

    let begun = Instant::now();
    let (mut turn, mut warm) = (0, None);
    while begun.elapsed() < length() {
        turn += 1;
        match turn % 5 {
            // The files of a certificate are written anew, one after the other.
            0 => {
                let (files, (certificate, key)) =
                    (&lab.certificates[turn % 2], &lab.pems[turn / 5 % 2]);
                replace(&files.key, key);
                replace(&files.certificate, certificate);
            }
            1 => {
                replace(&lab.file(), &lab.text(turn));
                balancer.signal(libc::SIGHUP);
            }
            // Somebody asks for it and is told when it is done, while the change of the
            // file is seen as well.
            _ => {
                replace(&lab.file(), &lab.text(turn));
                let told = admin.post("/reload");
                assert_eq!(told.status, 200, "{}", String::from_utf8_lossy(&told.body));
            }
        }
        if warm.is_none() && begun.elapsed() > length() / 4 {
            warm = Some(process.resident());
        }
        thread::sleep((EVERY * turn as u32).saturating_sub(begun.elapsed()));
    }
    // The last one takes effect.
    let changes = turn;
    turn = turn / 5 * 5 + 6;
    replace(&lab.file(), &lab.text(turn));
    let last = turn.to_string();
    let patience = Instant::now() + Duration::from_secs(30);
    while crate::support::get(plain, "/", &[]).header("x-version") != Some(&*last) {
        assert!(Instant::now() < patience, "the last configuration does not take effect");
        thread::sleep(Duration::from_millis(20));
    }
    let mut outcome = running.map(|running| running.end()).into_iter().reduce(|mut all, more| {
        all.add(more);
        all
    });
    let outcome = outcome.take().expect("some");
    let secured = over_tls.map(|running| running.end());
    let growth = process.resident().saturating_sub(warm.expect("it was long enough"));
    let reloads = admin.metrics().sum("pingora_lab_reloads_total", &["result=\"success\""]);

    let run = "reloads every 100 ms";
    measured(run, "changes, reloads", format!("{changes}, {reloads}"), "-");
    measured(
        run,
        "requests, failed",
        format!("{}, {}", outcome.answered, outcome.failed),
        "0 failed",
    );
    for (secured, what) in secured.iter().zip(["a handshake for each request", "kept"]) {
        let count = format!("{}, {}", secured.answered, secured.failed);
        measured(run, &format!("requests over TLS ({what}), failed"), count, "0 failed");
    }
    measured(run, "p99", format!("{:.1?}", outcome.quantile(0.99)), "-");
    measured(run, "growth after a quarter", format!("{growth} KiB"), &format!("{KEPT} KiB"));
    outcome.assert_none_failed();
    secured.iter().for_each(|secured| secured.assert_none_failed());
    // Those that were asked for, three of five, had one each.
    assert!(reloads >= (changes / 5 * 3) as f64, "{reloads} reloads of {changes} changes");
    assert!(growth <= KEPT, "{growth} KiB");
}
