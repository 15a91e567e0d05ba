//! What a person gets wrong, and what they are told.

use std::net::TcpListener;

use pingora_lab::backends::ports;

use crate::support::{Balancer, Program, Upstream};

/// Runs `serve` to its end: exit code and the one line on stderr.
fn told(args: &[&str]) -> (i32, String) {
    let (code, stdout, stderr) = Program::run([&["serve"], args].concat());
    assert_eq!(stdout, "", "nothing is started");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{stderr}");
    (code, stderr)
}

#[test]
fn a_busy_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, line) = told(&["--listen", &address.to_string(), "--backends", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert_eq!(
        line,
        format!(
            "error: cannot listen on {address}: port {} is taken by another process; \
             stop it, or choose another with --listen 127.0.0.1:PORT",
            address.port()
        )
    );
}

#[test]
fn what_goes_wrong_at_the_start_is_said_in_chinese_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_, line) = told(&["--lang", "zh", "--listen", &address, "--backends", "127.0.0.1:1"]);
    assert!(line.contains("已被其他进程占用；请结束该进程"), "{line}");
    let unknown = ["--lang", "zh", "--listen", "127.0.0.1:0", "--backends", "nowhere.invalid:80"];
    let (_, line) = told(&unknown);
    assert!(line.contains("域名无法解析"), "{line}");
}

#[test]
fn an_address_of_another_machine_is_one_clear_line() {
    // TEST-NET-1 (RFC 5737): no machine has it.
    let (code, line) = told(&["--listen", "192.0.2.1:6188", "--backends", "127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(line.contains("this machine has no address 192.0.2.1; use one that it has"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn a_name_that_does_not_resolve_is_one_clear_line() {
    // RFC 6761, section 6.4: .invalid never resolves.
    let (code, line) =
        told(&["--listen", "127.0.0.1:0", "--backends", "127.0.0.1:1,shop=nowhere.invalid:80"]);
    assert_eq!(code, 1);
    let start = "error: backend \"shop\" (nowhere.invalid:80) does not resolve: ";
    assert!(line.starts_with(start), "{line}");
    assert!(line.ends_with("; check the name, or give an IP address"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error_that_names_it() {
    for (args, named) in [
        (&["--no-such-option"][..], "--no-such-option"),
        (&["--backends", "nowhere"], "\"nowhere\" is no address (no port)"),
        (&["--backends", "a b=127.0.0.1:80"], "\"a b\" is no backend name"),
        (&["--listen", "localhost"], "localhost"),
        (&["--threads", "0"], "0 threads: use a number from 1 to 1024"),
        (&["--health-interval", "0s"], "\"0s\" is out of range"),
        (&["--health-interval", "soon"], "\"soon\" is no length of time"),
        (&["--public", "--backends", "127.0.0.1:80"], "cannot be used with"),
        (&["--log", "xml"], "xml"),
    ] {
        let (code, message) = told(args);
        assert_eq!(code, 2, "{args:?}: {message}");
        assert!(message.contains(named), "{args:?}: {message}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    let name = path.to_str().unwrap();
    let (code, line) = told(&["--config", name]);
    assert_eq!(code, 1);
    assert!(line.starts_with(&format!("error: cannot read the configuration {name}: ")), "{line}");
    for (text, place) in [
        ("threads = 2\nlisten = 1\n", ":2:1: unknown key `listen`: did you mean `listener`?"),
        ("[[listener]]\naddress = \"127.0.0.1:6188\"\n", ": no [[pool]]"),
        ("[[pool]\n", ":1:"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (code, line) = told(&["--config", name]);
        assert_eq!(code, 1, "{line}");
        assert!(line.starts_with(&format!("error: {name}{place}")), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn an_unusable_rust_log_is_one_clear_line() {
    let program = Program::start_with(["serve", "--backends", "127.0.0.1:1"], |command| {
        command.env("RUST_LOG", "access=loud");
    });
    let (code, _, stderr) = program.finish();
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: RUST_LOG=access=loud: no log filter"), "{stderr}");
}

#[test]
fn an_error_that_nobody_reads_is_no_panic() {
    let args = ["serve", "--listen", "192.0.2.1:6188", "--backends", "127.0.0.1:1"];
    let mut program = Program::start_with(args, |command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stderr(writer);
    });
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn several_listeners_serve_alike() {
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    let program = Program::start([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.2:0",
        "--backends",
        &backends,
    ]);
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let address = program.stderr_line(|line| {
            let (_, address) = line.split_once("address=")?;
            address.starts_with(&format!("{ip}:")).then(|| address.trim().parse().unwrap())
        });
        assert_eq!(crate::support::get(address, "/", &[]).text(), "a");
    }
}

#[test]
fn both_wildcards_share_a_port_and_one_of_them_takes_all() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    }
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    // Both ask for the same port, so it is chosen here: one that nobody is given by chance.
    let port = ports::free().unwrap().port();
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    for listeners in [&[v4.as_str(), v6.as_str()][..], &[v6.as_str()]] {
        let mut args = vec!["serve", "--backends", &backends];
        args.extend(listeners.iter().flat_map(|listener| ["--listen", listener]));
        let mut program = Program::start(args);
        for listener in listeners {
            let said = format!("address={listener}");
            program.stderr_line(|line| line.contains(&said).then_some(()));
        }
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            assert_eq!(crate::support::get(address.parse().unwrap(), "/", &[]).text(), "a");
        }
        program.stderr_line(|line| line.contains("client=\"127.0.0.1:").then_some(()));
        program.signal(libc::SIGINT);
        program.wait();
    }
    for received in upstream.received() {
        assert!(matches!(received.values("x-forwarded-for")[..], ["127.0.0.1" | "::1"]));
    }
}

#[test]
fn flags_win_over_the_file() {
    let upstream = Upstream::named("from-the-flag");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[pool]]\n[[pool.backend]]\naddress = \"127.0.0.1:1\"\n").unwrap();
    let backends = upstream.address.to_string();
    let balancer =
        Balancer::start(&["--config", file.path().to_str().unwrap(), "--backends", &backends]);
    assert_eq!(crate::support::get(balancer.address, "/", &[]).text(), "from-the-flag");
}

#[test]
fn the_screen_says_where_requests_can_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("lab.toml"), folder.path().join("access.log"));
    let log = log.to_str().unwrap();
    let upstream = Upstream::named("a");
    for (access_log, en, zh) in [
        ("", "Each request is one line below.", "每个请求在下方记录一行日志。"),
        ("to = 'stdout'", "Each request is one line below.", "每个请求在下方记录一行日志。"),
        (
            &format!("to = {{ file = '{log}' }}"),
            &format!("Each request is one line in {log}."),
            &format!("每个请求在 {log} 中记录一行日志。"),
        ),
        ("enabled = false", "Requests are not logged.", "不记录请求日志。"),
    ] {
        let text = format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[access_log]\n{access_log}\n\
             [[pool]]\n[[pool.backend]]\naddress = '{}'\n",
            upstream.address
        );
        std::fs::write(&file, text).unwrap();
        for (language, line) in
            [("en", format!("Ctrl-C to stop. {en}")), ("zh", format!("按 Ctrl-C 停止。{zh}"))]
        {
            let file = file.to_str().unwrap();
            let program = Program::start(["serve", "--lang", language, "--config", file]);
            program.stdout_line(|shown| (shown == line).then_some(()));
        }
    }
}

#[test]
fn the_screen_of_a_file_without_backends_shows_no_empty_table() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let text = "[[listener]]\naddress = '127.0.0.1:0'\n[[route]]\nanswer = { status = 410 }\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for (language, expected) in [
        ("en", "No backends: the routes answer by themselves."),
        ("zh", "没有后端：请求由各条路由直接应答。"),
    ] {
        let program = Program::start(["serve", "--lang", language, "--config", file]);
        // The first line that is not about listeners.
        let below =
            |line: &str| (!line.is_empty() && !line.contains("http://")).then(|| line.to_owned());
        assert_eq!(program.stdout_line(below), expected);
    }
}

#[test]
fn the_screen_speaks_both_languages_and_survives_a_closed_pipe() {
    let upstream = Upstream::named("a");
    let backends = upstream.address.to_string();
    let zh = Program::start([
        "serve",
        "--lang",
        "zh",
        "--listen",
        "127.0.0.1:0",
        "--backends",
        &backends,
    ]);
    zh.stdout_line(|line| line.contains("正在监听 http://127.0.0.1:").then_some(()));
    zh.stdout_line(|line| (line.contains("后端") && line.contains("健康状态")).then_some(()));

    let mut deaf = Program::start_with(
        ["serve", "--listen", "127.0.0.1:0", "--backends", &backends],
        |command| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer);
        },
    );
    deaf.stderr_line(|line| line.contains("listening").then_some(()));
    deaf.signal(libc::SIGTERM);
    assert_eq!(deaf.wait().code(), Some(0));
}
