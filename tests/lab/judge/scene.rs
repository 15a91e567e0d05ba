//! What a check may ask of its scene beyond backends and a program.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use pingora_lab::backends::recording::Act;
use pingora_lab::judge::client::Trouble;
use pingora_lab::judge::config_file::ConfigFile;
use pingora_lab::judge::program::{ExitKind, Stay, wait_until_ended};
use pingora_lab::judge::scene::Scene;
use pingora_lab::judge::{Command, Finding, Subject};

use super::run::{PATIENCE, block_on, guard_exe};
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
            "folder=$(dirname \"$LAB_CONFIG\")/certificates-1; \
             for name in a.test b.test; do \
             test -s \"$folder/$name.pem\" && test -s \"$folder/$name.key\" || exit 5; \
             grep -q \"certificate = .$folder/$name.pem\" \"$LAB_CONFIG\" || exit 6; \
             done; LAB_LISTEN=$(sed -n 's/^address = \"\\(.*\\)\"/\\1/p' \"$LAB_CONFIG\") exec {}",
            relay()
        );
        let scene = scene(&script);
        let names = ["a.test", "b.test"].map(|name| vec![name.to_owned()]);
        let certificates = scene.certificates(&names).expect("certificates");
        let backends = scene.backends(1).expect("a backend");
        let list = backends[0].address().to_string();
        let write = |listen| {
            let pairs = certificates.all().iter();
            let pairs = pairs.map(|one| (&*one.certificate_file, &*one.key_file));
            ConfigFile::new().listener(listen).certificates(pairs)
        };
        let settings = [("LAB_BACKENDS", list.as_str())];
        let running =
            scene.start_configured(&backends, &settings, &write).await.expect("it found them");
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

#[test]
fn of_a_request_without_an_answer_it_is_said_how_far_it_came() {
    block_on(async {
        let scene = scene(&format!("exec {}", relay()));
        let backends = scene.backends(1).expect("a backend");
        backends[0].always(Act::Hang);
        let running = scene.start(&backends).await.expect("it starts");
        let actual = async |target: &str, sent: bool| {
            let request = running.request("GET", target);
            let client = running.client().patience(Duration::from_millis(300));
            let trouble = Trouble::NoAnswer { after: Duration::from_millis(300) };
            let trouble = match sent {
                true => client.send(&request).await.expect_err("it hangs"),
                false => trouble,
            };
            let finding = running.trouble(&trouble, &request).await;
            let actual = finding.diagnosis().evidence.get("actual").cloned();
            actual.expect("a fact").as_str().expect("a text").to_owned()
        };
        let name = backends[0].name();
        let held = format!("no answer within 300 ms, though {name} had the request");
        assert_eq!(actual("/held", true).await, held);
        let lost = "no answer within 300 ms, and no backend had the request";
        assert_eq!(actual("/lost", false).await, lost);
        drop(running);
        scene.end().await;
    });
}

/// Those of the system are nobody's business here, and to read them takes time.
#[test]
fn a_program_trusts_one_authority_that_vouches_for_nobody() {
    block_on(async {
        let script = format!(
            "test $(grep -c 'BEGIN CERTIFICATE' \"$SSL_CERT_FILE\") = 1 || exit 5; exec {}",
            relay()
        );
        let scene = scene(&script);
        let backends = scene.backends(1).expect("a backend");
        let running = scene.start(&backends).await.expect("it starts");
        drop(running);
        scene.end().await;
    });
}

/// With a file, the file alone leads anywhere.
#[test]
fn a_program_is_told_by_a_file_where_to_listen_and_whom_to_ask() {
    block_on(async {
        let script = format!(
            "at=$(sed -n 's/^address = \"\\(.*\\)\"/\\1/p' \"$LAB_CONFIG\"); set -- $at; \
             test \"$LAB_LISTEN\" != \"$1\" && test \"$LAB_BACKENDS\" != \"$2\" || exit 5; \
             test \"$LAB_PROXY_NAME\" = lab || exit 6; \
             LAB_LISTEN=$1 LAB_BACKENDS=$2 exec {}",
            relay()
        );
        let scene = scene(&script);
        let backends = scene.backends(1).expect("a backend");
        let write = |listen| {
            ConfigFile::new().listener(listen).pool("web", None, [backends[0].address()]).route(
                &[],
                None,
                "web",
            )
        };
        let settings = [("LAB_PROXY_NAME", "lab")];
        let running =
            scene.start_configured(&backends, &settings, &write).await.expect("it starts");
        assert_eq!(running.listens_on().expect("listeners"), [running.listen]);
        assert_eq!(running.get("/").await.expect("an answer").status, 200);
        drop(running);
        scene.end().await;
    });
}

#[test]
fn who_listens_before_it_ends_is_seen() {
    block_on(async {
        let quick = scene("exit 7");
        let stay = run_without_a_file(&quick).await;
        assert_eq!((stay.exit, stay.listened), (Some(ExitKind::Code(7)), vec![]));
        quick.end().await;

        // It listens on the address of `LAB_LISTEN`, and is ended by nobody.
        let listens = scene(&format!("exec {}", relay()));
        let stay = run_without_a_file(&listens).await;
        assert_eq!((stay.exit, stay.listened.len()), (None, 1));
        listens.end().await;
    });
}

/// What became of a program with a file that is not there.
async fn run_without_a_file(scene: &Scene) -> Stay {
    let (at, path) = (scene.addresses().expect("addresses"), scene.config_path().expect("a path"));
    let program = scene.run_configured(at, &path, &[], &[]).await.expect("it runs");
    wait_until_ended(&program, PATIENCE).await.expect("it is watched")
}
