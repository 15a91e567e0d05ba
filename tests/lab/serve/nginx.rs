//! A real server behind the load balancer.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pingora_lab::backends::ports;

use crate::support::{Balancer, get, say};

/// nginx in the foreground, with a folder of its own; ended when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// `None` where nginx is not installed.
    fn start(name: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // nginx cannot say which port it took, so a free one is chosen here.
        let address = ports::free().unwrap();
        let mut child = run(folder.path(), address, name)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            assert_eq!(child.try_wait().unwrap(), None, "nginx does not start");
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        Some(Self { child, address, _folder: folder })
    }
}

fn run(folder: &Path, address: SocketAddr, name: &str) -> Option<Child> {
    let config = folder.join("nginx.conf");
    let place = folder.display();
    let text = format!(
        "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         server {{ listen {address};\n\
         location / {{ return 200 \"{name} $request_method $request_uri host=$host id=$http_x_request_id\"; }} }} }}\n"
    );
    std::fs::write(&config, text).unwrap();
    Command::new("nginx")
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nginx_backends_are_balanced_and_lose_their_server_field() {
    let (Some(one), Some(two)) = (Nginx::start("one"), Nginx::start("two")) else {
        assert!(
            std::env::var_os("PINGORA_LAB_REQUIRE_NGINX").is_none(),
            "PINGORA_LAB_REQUIRE_NGINX is set, and nginx is not installed"
        );
        say("SKIPPED: nginx is not installed");
        return;
    };
    let specs = [format!("one.test={}", one.address), format!("two.test={}", two.address)];
    let balancer = Balancer::over(&specs, &[]);
    let answers: Vec<_> =
        (0..4).map(|_| get(balancer.address, "/a%20b?c=d", &["X-Request-Id: id-1"])).collect();
    for (number, answer) in answers.iter().enumerate() {
        let name = ["one", "two"][number % 2];
        assert_eq!(answer.text(), format!("{name} GET /a%20b?c=d host={name}.test id=id-1"));
        assert_eq!(answer.header("server"), None, "{answer:?}");
        assert_eq!(answer.header("x-served-by"), Some(format!("{name}.test").as_str()));
    }
}
