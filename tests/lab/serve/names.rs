//! Names are resolved again while the load balancer runs.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{Program, Upstream, get, say};

/// A load balancer in a mount namespace of its own, whose hosts file the test
/// writes.
struct Named {
    folder: tempfile::TempDir,
    program: Program,
    address: SocketAddr,
}

impl Named {
    /// With one backend, `shop.test` on this port, which has these addresses at
    /// first. `None` where the system allows no such namespace, which is said.
    fn start(port: u16, addresses: &[IpAddr]) -> Option<Self> {
        let mut namespace = Command::new("unshare");
        namespace.args(["--user", "--map-root-user", "--mount", "true"]);
        if !namespace.output().is_ok_and(|output| output.status.success()) {
            say("SKIPPED: no mount namespace here, so no hosts file of our own");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        std::fs::write(&hosts, lines(addresses)).unwrap();
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
        Some(Self { folder, program, address })
    }

    fn hosts(&self, text: &str) {
        std::fs::write(self.folder.path().join("hosts"), text).unwrap();
    }
}

fn lines(addresses: &[IpAddr]) -> String {
    addresses.iter().map(|address| format!("{address} shop.test\n")).collect()
}

#[test]
fn a_name_that_moves_is_followed_and_one_that_vanishes_keeps_its_address() {
    let old = Upstream::named("old");
    // The same port on another loopback address stands for the new place.
    let port = old.address.port();
    let Some(lab) = Named::start(port, &[old.address.ip()]) else { return };
    let answer = get(lab.address, "/", &[]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "old"));

    let moved = Upstream::at(([127, 0, 0, 7], port).into(), "new");
    lab.hosts("127.0.0.7 shop.test\n");
    lab.program.stderr_line(|line| line.contains("backend has new addresses").then_some(()));
    assert_eq!(get(lab.address, "/", &[]).text(), "new");

    lab.hosts("127.0.0.1 nothing.test\n");
    lab.program.stderr_line(|line| line.contains("its last addresses are kept").then_some(()));
    assert_eq!(get(lab.address, "/", &[]).text(), "new");
    assert!(!moved.received().is_empty());
}

#[test]
fn all_addresses_of_a_name_take_turns_and_one_that_is_dead_is_left_out() {
    let one = Upstream::named("1");
    let port = one.address.port();
    let place = SocketAddr::from(([127, 0, 0, 8], port));
    let mut other = Upstream::at(place, "2");
    let Some(lab) = Named::start(port, &[one.address.ip(), place.ip()]) else { return };
    let order: String = (0..8).map(|_| get(lab.address, "/", &[]).text()).collect();
    assert!(["12121212", "21212121"].contains(&order.as_str()), "{order}");
    other.stop();
    let rest: String = (0..6).map(|_| get(lab.address, "/", &[]).text()).collect();
    assert_eq!(rest, "111111", "whoever finds it dead goes to the other");
    // It leaves the name, and the backend is there all the same.
    lab.hosts(&lines(&[one.address.ip()]));
    lab.program.stderr_line(|line| line.contains("backend has new addresses").then_some(()));
    assert_eq!(get(lab.address, "/", &[]).text(), "1");
}
