//! Names are resolved again while the load balancer runs.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{Program, Upstream, get, say};

/// Runs in a mount namespace of its own, whose hosts file the test writes.
/// Where the system allows no such namespace this is skipped, and says so.
#[test]
fn a_name_that_moves_is_followed_and_one_that_vanishes_keeps_its_address() {
    let mut namespace = Command::new("unshare");
    namespace.args(["--user", "--map-root-user", "--mount", "true"]);
    if !namespace.output().is_ok_and(|output| output.status.success()) {
        say("SKIPPED: no mount namespace here, so no hosts file of our own");
        return;
    }
    let old = Upstream::named("old");
    let port = old.address.port();
    // The same port on another loopback address stands for the new place.
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, format!("{} shop.test\n", old.address.ip())).unwrap();
    let config = folder.path().join("lab.toml");
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[pool]]\nresolve_interval = \"50ms\"\n\
         [[pool.backend]]\naddress = \"shop.test:{port}\"\nname = \"shop.test\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let binary = env!("CARGO_BIN_EXE_pingora-lab");
    let script = format!(
        "mount --bind '{}' /etc/hosts && exec '{binary}' serve --config '{}'",
        hosts.display(),
        config.display()
    );
    let program = Program::start_with(["unused"], |command| {
        let mut inside = Command::new("unshare");
        inside.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        inside.env("RUST_LOG", "info").stdin(std::process::Stdio::null());
        inside.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        inside.process_group(0);
        *command = inside;
    });
    let address = program.stderr_line(|line| {
        let (_, address) = line.split_once("listening address=")?;
        address.trim().parse().ok()
    });
    let answer = get(address, "/", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "old"));

    let moved = Upstream::at(([127, 0, 0, 7], port).into(), "new");
    std::fs::write(&hosts, "127.0.0.7 shop.test\n").unwrap();
    program.stderr_line(|line| line.contains("backend has new addresses").then_some(()));
    assert_eq!(get(address, "/", &[]).text(), "new");

    std::fs::write(&hosts, "127.0.0.1 nothing.test\n").unwrap();
    program.stderr_line(|line| line.contains("its last addresses are kept").then_some(()));
    assert_eq!(get(address, "/", &[]).text(), "new");
    assert!(!moved.received().is_empty());
}
