//! What a check may ask of its scene beyond backends and a program.

use std::net::{IpAddr, Ipv4Addr};

use pingora_lab::judge::scene::Scene;
use pingora_lab::judge::{Command, Finding, Subject};

use super::run::{block_on, guard_exe};
use crate::support::lab::relay;

fn scene(script: &str) -> Scene {
    let command = Command::Program(["sh", "-c", script].map(str::to_owned).to_vec());
    let subject = Subject { guard: guard_exe().to_owned(), command, cwd: "/".into() };
    Scene::new("01-first-proxy", "starts", subject, 7)
}

#[test]
fn a_program_is_told_where_its_certificates_are() {
    block_on(async {
        let script = format!(
            "for name in $(echo \"$LAB_TLS_NAMES\" | tr , ' '); do \
             test -s \"$LAB_TLS_FOLDER/$name.pem\" && test -s \"$LAB_TLS_FOLDER/$name.key\" || exit 5; \
             done; test \"$LAB_TLS_NAMES\" = a.test,b.test || exit 6; exec {}",
            relay()
        );
        let scene = scene(&script);
        let certificates = scene.certificates(&["a.test", "b.test"]).expect("certificates");
        let settings = certificates.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        let backends = scene.backends(1).expect("a backend");
        let running = scene.start_with(&backends, &settings).await.expect("it found them");
        assert_eq!(running.get("/").await.expect("an answer").status, 200);
        drop(running);
        scene.end().await;
    });
}

#[test]
fn a_client_at_an_address_that_the_machine_lacks_says_nothing_of_the_program() {
    block_on(async {
        let scene = scene(&format!("exec {}", relay()));
        let backends = scene.backends(1).expect("a backend");
        let running = scene.start(&backends).await.expect("it starts");
        // Kept for documents: no machine has it.
        let nowhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let request = running.request("GET", "/");
        let trouble = running.client_from(nowhere).send(&request).await.expect_err("no way");
        let finding = running.trouble(&trouble, &request).await;
        let Finding::Inconclusive(diagnosis) = finding else { panic!("{finding:?}") };
        assert_eq!(diagnosis.id, "no-such-address");
        assert_eq!(diagnosis.evidence.get("address").and_then(|a| a.as_str()), Some("192.0.2.1"));
        drop(running);
        scene.end().await;
    });
}
