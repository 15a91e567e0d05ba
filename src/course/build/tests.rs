use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

/// A workspace without dependencies: quick to build.
fn workspace(main: &str, build_script: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"my-lab\"\nedition = \"2024\"\n[workspace]\n\
        [[bin]]\nname = \"01-a\"\npath = \"main.rs\"\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.path().join("main.rs"), main).unwrap();
    if let Some(text) = build_script {
        fs::write(folder.path().join("build.rs"), text).unwrap();
    }
    folder
}

fn start(workspace: &TempDir) -> Build {
    Build::start(Request { workspace: workspace.path(), stages: &["01-a"], color: false })
}

/// All that happens, in the time that a stuck build must not take.
async fn events(mut build: Build) -> Vec<Event> {
    let mut events = Vec::new();
    let all = async {
        while let Some(event) = build.next().await {
            events.push(event);
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("the build ends");
    events
}

#[tokio::test]
async fn a_program_is_built_once() {
    let workspace = workspace("fn main() {}", None);
    let built = events(start(&workspace)).await;
    let Some(Event::Built { program, fresh: false }) = built.last() else { panic!("{built:?}") };
    assert!(std::process::Command::new(program).status().unwrap().success());
    assert!(built.iter().any(|event| matches!(event, Event::Compiling { .. })), "{built:?}");

    let again = events(start(&workspace)).await;
    assert_eq!(again.last(), Some(&Event::Built { program: program.clone(), fresh: true }));
}

#[tokio::test]
async fn every_error_and_warning_is_told_with_its_place() {
    let text = "fn main() {\n    let unused = 1;\n    one();\n    two();\n}\n";
    let workspace = workspace(text, None);
    let events = events(start(&workspace)).await;
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Diagnostic(d) if d.level == Level::Error => Some(d.place.clone()?.line),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [3, 4], "{events:?}");
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!(failure.trouble, Trouble::Errors(2));

    fs::write(workspace.path().join("main.rs"), "fn main() { let unused = 1; }").unwrap();
    let events = self::events(start(&workspace)).await;
    let warnings: Vec<_> =
        events.iter().filter(|event| matches!(event, Event::Diagnostic(_))).collect();
    assert_eq!(warnings.len(), 1, "{events:?}");
    assert!(matches!(events.last(), Some(Event::Built { fresh: false, .. })));
}

#[tokio::test]
async fn stages_are_built_together_and_one_that_fails_holds_up_none() {
    let workspace = workspace("fn main() {}", None);
    let manifest = workspace.path().join("Cargo.toml");
    let mut text = fs::read_to_string(&manifest).unwrap();
    for (stage, code) in
        [("02-b", "fn main() { one() }"), ("03-c", "fn main() { let unused = 1; }")]
    {
        text += &format!("[[bin]]\nname = \"{stage}\"\npath = \"{stage}.rs\"\n");
        fs::write(workspace.path().join(format!("{stage}.rs")), code).unwrap();
    }
    fs::write(&manifest, text).unwrap();
    let stages = ["03-c", "02-b", "01-a"];
    let build = || {
        let request = Request { workspace: workspace.path(), stages: &stages, color: false };
        Build::start(request)
    };
    let events = self::events(build()).await;
    let [.., Event::Built { .. }, Event::Failed(failure), Event::Built { program, fresh: false }] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(failure.trouble, Trouble::Errors(1));
    assert!(program.ends_with("01-a"), "in the order of the request: {program:?}");
    let targets = |level| {
        let of = |event: &Event| match event {
            Event::Diagnostic(d) if d.level == level => Some(d.target.clone()),
            _ => None,
        };
        events.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(targets(Level::Error), ["02-b"]);
    assert_eq!(targets(Level::Warning), ["03-c"]);

    // What is unchanged is left; what every stage needs fails each.
    let again = self::events(build()).await;
    assert!(matches!(again.last(), Some(Event::Built { fresh: true, .. })), "{again:?}");
    fs::write(&manifest, "nonsense").unwrap();
    let events = self::events(build()).await;
    let failed =
        |event: &Event| matches!(event, Event::Failed(f) if f.trouble == Trouble::Manifest);
    assert_eq!(events.iter().filter(|event| failed(event)).count(), 3, "{events:?}");
}

#[tokio::test]
async fn stages_of_two_profiles_are_built_one_after_the_other_and_end_in_their_order() {
    let workspace = workspace("fn main() {}", None);
    let manifest = workspace.path().join("Cargo.toml");
    let mut text = fs::read_to_string(&manifest).unwrap();
    text += "[[bin]]\nname = \"02-b\"\npath = \"main.rs\"\n";
    fs::write(&manifest, text).unwrap();
    let stages = ["02-b", "01-a"];
    let request = Request { workspace: workspace.path(), stages: &stages, color: false };
    let profile = |stage: &str| if stage == "02-b" { Profile::Release } else { Profile::Dev };
    let events = self::events(Build::in_profiles(request, profile)).await;
    let programs: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Built { program, .. } => Some(program),
            _ => None,
        })
        .collect();
    assert_eq!(programs.len(), 2, "{events:?}");
    assert!(programs[0].ends_with("release/02-b"), "{programs:?}");
    assert!(programs[1].ends_with("debug/01-a"), "{programs:?}");
}

#[tokio::test]
async fn what_is_wrong_with_the_workspace_is_told() {
    let workspace = workspace("fn main() {}", None);
    let request = Request { workspace: workspace.path(), stages: &["02-b"], color: false };
    let events = self::events(Build::start(request)).await;
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert_eq!(failure.trouble, Trouble::Manifest, "{failure:?}");
    assert!(failure.detail.contains("02-b"), "{failure:?}");

    let manifest = workspace.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let dependency = "[dependencies]\nno-such-crate = { path = \"nowhere\" }\n";
    fs::write(&manifest, format!("{text}{dependency}")).unwrap();
    let events = self::events(start(&workspace)).await;
    let Some(Event::Failed(failure)) = events.last() else { panic!("{events:?}") };
    assert!(failure.detail.contains("no-such-crate"), "{failure:?}");
}

/// A build script that calls a socket and then waits for ever.
fn waits(address: SocketAddr) -> String {
    format!(
        "use std::io::Read;
        fn main() {{
            let path = std::env::temp_dir().join(\"left-by-the-build\");
            std::fs::write(&path, \"x\").unwrap();
            let mut socket = std::net::TcpStream::connect({:?}).unwrap();
            std::io::Write::write_all(&mut socket, path.to_str().unwrap().as_bytes()).unwrap();
            let _ = socket.read(&mut [0]);
        }}",
        address.to_string()
    )
}

/// Waits for the build script's call; returns the file that it left.
async fn called(listener: &TcpListener) -> (TcpStream, PathBuf) {
    let call = timeout(Duration::from_secs(60), listener.accept()).await;
    let (mut socket, _) = call.expect("the build script runs").unwrap();
    let mut path = [0; 4096];
    let count = socket.read(&mut path).await.unwrap();
    (socket, PathBuf::from(String::from_utf8(path[..count].to_vec()).unwrap()))
}

/// The other end of the socket is gone: so is the process that held it.
async fn is_gone(mut socket: TcpStream) {
    let read = timeout(Duration::from_secs(10), socket.read(&mut [0])).await;
    // A killed process's socket ends, or is reset.
    assert!(matches!(read.expect("it was killed"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_build_that_is_cancelled_or_dropped_leaves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let script = waits(listener.local_addr().unwrap());
    let workspace = workspace("fn main() {}", Some(&script));

    let build = start(&workspace);
    let (socket, left) = called(&listener).await;
    assert!(left.exists());
    timeout(Duration::from_secs(10), build.cancel()).await.expect("cancelled");
    is_gone(socket).await;
    assert!(!left.parent().unwrap().exists(), "its temporary files are gone");

    let build = start(&workspace);
    let (socket, _) = called(&listener).await;
    drop(build);
    is_gone(socket).await;
}

#[tokio::test]
async fn a_build_that_waits_for_another_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let script = waits(listener.local_addr().unwrap());
    let workspace = workspace("fn main() {}", Some(&script));
    let first = start(&workspace);
    let (socket, _) = called(&listener).await;

    let mut second = start(&workspace);
    let waiting = async {
        loop {
            let event = second.next().await.expect("an event");
            if event == Event::Waiting {
                break;
            }
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect("it waits");
    // The second goes on when the first is gone.
    first.cancel().await;
    is_gone(socket).await;
    let (socket, _) = called(&listener).await;
    second.cancel().await;
    is_gone(socket).await;
}
