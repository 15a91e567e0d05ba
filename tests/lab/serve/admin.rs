//! The admin listener.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::health::full_queue;
use crate::support::{Admin, Balancer, Client, Program, Upstream, ask, get};

/// A load balancer with an admin listener, whose file can be written anew.
struct Lab {
    _folder: tempfile::TempDir,
    file: PathBuf,
    balancer: Balancer,
    admin: Admin,
}

impl Lab {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lab.toml");
        std::fs::write(&file, text).unwrap();
        let flags = ["--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0"];
        let balancer = Balancer::start(&flags);
        let admin = balancer.admin();
        Self { _folder: folder, file, balancer, admin }
    }

    fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }
}

fn pool(name: &str, backends: &[(&str, &Upstream)]) -> String {
    let backend = |(name, upstream): &(&str, &Upstream)| {
        format!("[[pool.backend]]\nname = '{name}'\naddress = '{}'\n", upstream.address)
    };
    let backends: String = backends.iter().map(backend).collect();
    format!("[[pool]]\nname = '{name}'\n{backends}")
}

fn reason(answer: &crate::support::Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["error"]["status"], answer.status, "{json}");
    assert!(!json["error"]["message"].as_str().unwrap().is_empty());
    (answer.status, json["error"]["reason"].as_str().unwrap().to_owned())
}

#[test]
fn the_first_screen_and_the_pages() {
    let upstream = Upstream::named("a");
    let balancer =
        Balancer::over(&[format!("a={}", upstream.address)], &["--admin", "127.0.0.1:0"]);
    let admin = balancer.admin();
    balancer
        .stdout_line(|line| (line == format!("Admin on http://{}", admin.address)).then_some(()));
    assert_eq!(admin.get("/healthz").json()["status"], "alive");
    assert_eq!(admin.get("/readyz").json()["status"], "ready");
    let status = admin.status();
    assert_eq!(status["state"], "running", "{status:#}");
    assert_eq!(status["ready"], true);
    assert_eq!(status["listeners"][0]["address"], balancer.address.to_string());
    assert_eq!(status["routes"][0]["name"], "default");
    let backend = &status["pools"][0]["backends"][0];
    assert_eq!((&backend["name"], &backend["drained"]), (&"a".into(), &false.into()));
    let at = &backend["addresses"][0];
    assert_eq!(at["address"], upstream.address.to_string());
    assert_eq!((&at["healthy"], &at["breaker"]), (&true.into(), &"closed".into()));
    assert!(status["last_reload"].is_null());
    // Or fewer, where the system allows too few descriptors.
    let limit = status["connections"]["limit"].as_u64().expect("a number");
    assert!((1..=10_000).contains(&limit), "{limit}");
    // Methods that a page does not have, and pages that are not there.
    let answer = admin.get("/reload");
    assert_eq!(reason(&answer), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = admin.post("/metrics");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(reason(&admin.get("/")), (404, "no_such_page".to_owned()));
    assert_eq!(reason(&admin.get("/status/x")), (404, "no_such_page".to_owned()));
    let mut client = Client::connect(admin.address);
    client.send(format!(
        "HEAD /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        admin.address
    ));
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn the_first_screen_in_chinese() {
    let upstream = Upstream::named("a").address.to_string();
    let args = ["serve", "--lang", "zh", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::start([&args[..], &["--backends", &upstream]].concat());
    program.stdout_line(|line| line.starts_with("管理地址 http://127.0.0.1:").then_some(()));
}

#[test]
fn a_foreign_host_or_page_is_refused_and_changes_nothing() {
    let upstream = Upstream::named("a");
    let text = format!("[admin]\nhosts = ['lb.internal']\n{}", pool("web", &[("a", &upstream)]));
    let lab = Lab::start(&text);
    let send = |request: &str, fields: &str| {
        ask(lab.admin.address, format!("{request} HTTP/1.1\r\n{fields}\r\n\r\n"))
    };
    let drain = "POST /pools/web/backends/a/drain";
    for host in ["Host: evil.test", "Host: evil.test:6189", "Host: localhost.evil.test", "X: y"] {
        assert_eq!(reason(&send(drain, host)), (421, "foreign_host".to_owned()), "{host}");
    }
    for host in ["localhost", "LB.internal:80", "127.0.0.1", "[::1]:1"] {
        assert_eq!(send("GET /healthz", &format!("Host: {host}")).status, 200, "{host}");
    }
    let page = format!("Host: {}\r\nOrigin: http://evil.test", lab.admin.address);
    assert_eq!(reason(&send(drain, &page)), (403, "foreign_origin".to_owned()));
    assert_eq!(lab.admin.status()["pools"][0]["backends"][0]["drained"], false);
    let own = format!("Host: {0}\r\nOrigin: http://{0}", lab.admin.address);
    assert_eq!(send(drain, &own).status, 200);
}

#[test]
fn a_token_is_asked_for_is_never_shown_and_changes_on_reload() {
    let upstream = Upstream::named("a");
    let text =
        |token: &str| format!("[admin]\ntoken = '{token}'\n{}", pool("web", &[("a", &upstream)]));
    let lab = Lab::start(&text("f1rst-secret"));
    let with = |path: &str, token: &str| {
        get(lab.admin.address, path, &[&format!("Authorization: Bearer {token}")])
    };
    let answer = lab.admin.get("/status");
    assert_eq!(reason(&answer), (401, "token_needed".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"admin\""));
    assert_eq!(with("/status", "wrong").status, 401);
    assert_eq!(with("/status", "f1rst-secret").status, 200);
    assert_eq!(with("/metrics", "f1rst-secret").status, 200);
    assert_eq!((lab.admin.get("/healthz").status, lab.admin.get("/readyz").status), (200, 200));
    lab.write(&text("s3cond-secret"));
    lab.balancer.event(|event| (event["target"] == "reload").then_some(()));
    assert_eq!(with("/status", "f1rst-secret").status, 401);
    let status = with("/status", "s3cond-secret");
    assert_eq!(status.json()["last_reload"]["reloaded"]["changes"]["changed"][0], "a secret");
    assert!(!status.text().contains("s3cond-secret"));
    let file = lab.file.to_str().unwrap();
    let (code, printed, _) = Program::run(["serve", "--config", file, "--print-config"]);
    assert_eq!(code, 0);
    assert!(printed.contains("token = \"***\"") && !printed.contains("s3cond"), "{printed}");
    assert!(!lab.balancer.stderr().iter().any(|line| line.contains("-secret")));
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let check = |text: &str| {
        let pool = "[[pool]]\n[[pool.backend]]\naddress = '127.0.0.1:1'\n";
        std::fs::write(&file, format!("{text}\n{pool}")).unwrap();
        let (code, _, stderr) =
            Program::run(["serve", "--check", "--config", file.to_str().unwrap()]);
        (code, stderr)
    };
    let (code, error) = check("[admin]\naddress = '0.0.0.0:6189'");
    assert_eq!(code, 1);
    assert!(
        error.contains("lab.toml:2:11: other machines can reach 0.0.0.0:6189: add a token"),
        "{error}"
    );
    assert_eq!(check("[admin]\naddress = '0.0.0.0:6189'\ntoken = 'x'").0, 0);
    assert_eq!(check("[admin]\naddress = '[::1]:6189'").0, 0);
    let (_, error) = check("[admin]\nhosts = ['a:80']");
    assert!(error.contains("\"a:80\" is no host name"), "{error}");
    let (_, error) = check("[admin]\naddress = '127.0.0.1:6188'");
    assert!(error.contains("[admin] and a listener are both on 127.0.0.1:6188"), "{error}");
    let args = ["serve", "--check", "--backends", "127.0.0.1:1", "--admin", "0.0.0.0:1"];
    let (code, _, error) = Program::run(args);
    assert_eq!(code, 1);
    assert!(error.contains("add a token to [admin]"), "{error}");
}

#[test]
fn an_admin_port_that_is_taken_is_one_clear_line_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let upstream = Upstream::named("a");
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin", &address.to_string()];
    let backends = upstream.address.to_string();
    let (code, stdout, stderr) = Program::run([&args[..], &["--backends", &backends]].concat());
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        format!(
            "error: cannot listen on {address}: port {} is taken by another process; \
             stop it, or choose another with --admin 127.0.0.1:PORT",
            address.port()
        )
    );
    assert_eq!(upstream.connections(), 0, "nothing was checked");
}

#[test]
fn a_reload_is_asked_for_and_its_result_is_told_everywhere() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let lab = Lab::start(&pool("web", &[("a", &a)]));
    let before = lab.admin.status()["configuration"].clone();
    assert_eq!(before["file"], lab.file.display().to_string());

    lab.write(&format!("threads = 7\n{}", pool("web", &[("b", &b)])));
    let answer = lab.admin.post("/reload");
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The change of the file may have been seen before.
    let status = lab.admin.status();
    assert_eq!(get(lab.balancer.address, "/", &[]).text(), "b");
    assert_eq!(answer.json()["reloaded"]["needs_restart"][0], "threads");
    assert_eq!(status["configuration"]["needs_restart"][0], "threads");
    assert_ne!(status["configuration"]["sha256"], before["sha256"]);
    assert_eq!(status["last_reload"]["successful"], true);
    let file = lab.file.to_str().unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--log", "json", "--admin", "127.0.0.1:0"];
    let print = [&["serve", "--config", file, "--print-config"], &flags[..]].concat();
    let (_, printed, _) = Program::run(print);
    // The transcript takes the last line's end away.
    let hash = sha256(&format!("{printed}\n"));
    assert_eq!(status["configuration"]["sha256"], hash, "as the document says");

    lab.write("[[pool]]\n[[pool.backend]]\nadress = 'x'\n");
    let answer = lab.admin.post("/reload");
    assert_eq!(reason(&answer), (422, "configuration_invalid".to_owned()));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("lab.toml:3:1: unknown key `adress`: did you mean"), "{message}");
    assert_eq!(get(lab.balancer.address, "/", &[]).text(), "b", "the old one stays");
    let status = lab.admin.status();
    assert_eq!(status["last_reload"]["successful"], false);
    assert!(status["last_reload"]["error"].as_str().unwrap().contains("unknown key"));
    assert_eq!(status["configuration"]["sha256"], hash);
    let metrics = lab.admin.metrics();
    assert!(metrics.sum("pingora_lab_reloads_total", &["result=\"success\""]) >= 1.0);
    assert!(metrics.sum("pingora_lab_reloads_total", &["result=\"failure\""]) >= 1.0);
    assert_eq!(metrics.sum("pingora_lab_last_reload_successful", &[]), 0.0);
    assert!(metrics.has("pingora_lab_configuration_info", &[&format!("sha256=\"{hash}\"")]));

    lab.write(&pool("other", &[("b", &b)]));
    let answer = lab.admin.post("/reload");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(lab.admin.metrics().sum("pingora_lab_last_reload_successful", &[]), 1.0);
    assert_eq!(lab.admin.status()["pools"][0]["name"], "other");
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_reload_says_what_has_changed() {
    let a = Upstream::named("a");
    // No file, so that nobody else reloads: what flags say does not change.
    let balancer = Balancer::over(&[a.address.to_string()], &["--admin", "127.0.0.1:0"]);
    let reloaded = balancer.admin().post("/reload").json();
    let nothing = serde_json::json!({ "added": [], "removed": [], "changed": [] });
    assert_eq!(reloaded["reloaded"]["changes"], nothing);
    assert_eq!(balancer.admin().metrics().sum("pingora_lab_reloads_total", &[]), 1.0);
}

#[test]
fn two_reloads_at_once_are_both_answered() {
    let a = Upstream::named("a");
    let lab = Lab::start(&pool("web", &[("a", &a)]));
    let address = lab.admin.address;
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(format!("POST /reload HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    }
    for client in &mut clients {
        assert_eq!(client.answer().expect("an answer").status, 200);
    }
    let reloads = lab.admin.metrics().sum("pingora_lab_reloads_total", &["result=\"success\""]);
    assert_eq!(reloads, 8.0);
}

#[test]
fn a_drained_backend_gets_nothing_new_until_it_is_enabled() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let lab = Lab::start(&pool("web", &[("a", &a), ("b", &b)]));
    let served =
        || -> Vec<String> { (0..4).map(|_| get(lab.balancer.address, "/", &[]).text()).collect() };
    assert_eq!(lab.admin.post("/pools/web/backends/a/drain").status, 200);
    assert_eq!(served(), ["b"; 4]);
    assert_eq!(lab.admin.status()["pools"][0]["backends"][0]["drained"], true);
    let drained = ("pingora_lab_backend_drained", ["backend=\"a\""]);
    assert_eq!(lab.admin.metrics().sum(drained.0, &drained.1), 1.0);
    // It stays so, in another pool of that name too.
    lab.write(&format!("{}[pool.queue]\nlength = 5\n", pool("web", &[("a", &a), ("b", &b)])));
    assert_eq!(lab.admin.post("/reload").status, 200);
    assert_eq!(served(), ["b"; 4]);
    assert_eq!(lab.admin.get("/readyz").status, 200);
    assert_eq!(lab.admin.post("/pools/web/backends/b/drain").status, 200);
    assert_eq!(reason(&lab.admin.get("/readyz")), (503, "no_healthy_backend".to_owned()));
    assert_eq!(get(lab.balancer.address, "/", &[]).status, 503);
    for name in ["a", "b"] {
        assert_eq!(lab.admin.post(&format!("/pools/web/backends/{name}/enable")).status, 200);
    }
    let mut all = served();
    all.sort();
    assert_eq!(all, ["a", "a", "b", "b"]);
    assert_eq!(lab.admin.metrics().sum(drained.0, &drained.1), 0.0);

    let answer = lab.admin.post("/pools/web/backends/c/drain");
    assert_eq!(reason(&answer), (404, "no_such_backend".to_owned()));
    assert!(answer.text().contains("there are a, b"), "{}", answer.text());
    let answer = lab.admin.post("/pools/wbe/backends/a/enable");
    assert!(answer.text().contains("no pool \\\"wbe\\\"; there are web"), "{}", answer.text());
}

#[test]
fn it_is_not_ready_before_the_first_check_nor_without_a_healthy_backend() {
    // The check of this one takes its whole limit of a second.
    let (_held, full) = full_queue(([127, 0, 0, 1], 0).into());
    // Nobody else takes ports on this loopback address.
    let address = Upstream::dead();
    let args = ["serve", "--log", "json", "--listen", "127.0.0.1:0"];
    let (backends, at) = (full.to_string(), address.to_string());
    let program = Program::start([&args[..], &["--backends", &backends, "--admin", &at]].concat());
    let admin = Admin { address };
    connects(address);
    assert_eq!(admin.get("/healthz").status, 200);
    let answer = admin.get("/readyz");
    assert_eq!(reason(&answer), (503, "starting".to_owned()));
    assert_eq!(admin.status()["state"], "starting");
    assert_eq!(reason(&admin.post("/reload")).0, 503);
    assert_eq!(reason(&admin.get("/metrics")), (503, "starting".to_owned()));
    program.stderr_line(|line| line.contains("\"listening\"").then_some(()));
    assert_eq!(reason(&admin.get("/readyz")), (503, "no_healthy_backend".to_owned()));
    assert_eq!(admin.status()["ready"], false);
}

fn connects(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address}");
        std::thread::yield_now();
    }
}

#[test]
fn while_it_drains_it_is_alive_and_not_ready_and_ends_with_the_process() {
    let (slow, open) = Upstream::gated("slow");
    let mut lab = Lab::start(&pool("web", &[("slow", &slow)]));
    let mut client = Client::connect(lab.balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    slow.wait_for_requests(1);
    lab.balancer.signal(libc::SIGTERM);
    lab.balancer
        .event(|event| event["message"].as_str()?.starts_with("no longer accepting").then_some(()));
    assert_eq!(lab.admin.get("/healthz").status, 200);
    assert_eq!(reason(&lab.admin.get("/readyz")), (503, "draining".to_owned()));
    let status = lab.admin.status();
    assert_eq!((&status["state"], &status["requests_in_flight"]), (&"draining".into(), &1.into()));
    assert_eq!(reason(&lab.admin.post("/reload")), (503, "draining".to_owned()));
    assert_eq!(lab.admin.metrics().sum("pingora_lab_ready", &[]), 0.0);
    open.send(()).unwrap();
    assert_eq!(client.answer().unwrap().text(), "slow");
    let address = lab.admin.address;
    assert_eq!(lab.balancer.program().wait().code(), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn systemd_is_told_when_clients_are_answered_and_when_the_end_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut bytes = [0; 64];
        let read = socket.recv(&mut bytes).expect("a word");
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    };
    let upstream = Upstream::named("a").address.to_string();
    let args = ["serve", "--listen", "127.0.0.1:0", "--backends", &upstream];
    let mut program = Program::start_with(args, |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(told(), "READY=1");
    program.signal(libc::SIGTERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn those_who_say_nothing_do_not_keep_others_out() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[upstream.address.to_string()], &["--admin", "127.0.0.1:0"]);
    let admin = balancer.admin();
    // More than there are places: silent ones, and ones that begin and go on for ever.
    let mut silent: Vec<_> = (0..100).map(|_| Client::connect(admin.address)).collect();
    for client in silent.iter_mut().step_by(2) {
        client.send("GET /status HTTP/1.1\r\nHost: local");
    }
    let begun = Instant::now();
    assert_eq!(admin.get("/healthz").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(silent[0].is_closed() || begun.elapsed() > Duration::from_secs(5));
}
