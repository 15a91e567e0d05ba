//! `.cargo/cmake`, by which a machine without cmake builds all the same.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Runs the script with a path that holds only these programs of the system,
/// and those that the test has put there.
fn run(folder: &Path, programs: &[&str]) -> Output {
    for program in programs {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        let found = String::from_utf8(found.expect("sh").stdout).expect("a UTF-8 path");
        symlink(found.trim(), folder.join(program)).expect("a link");
    }
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/cmake"))
        .args(["--build", "a folder"])
        .env_clear()
        .env("PATH", folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .expect("the script runs")
}

#[test]
fn the_systems_cmake_is_run_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let cmake = folder.path().join("cmake");
    std::fs::write(&cmake, "#!/bin/sh\nprintf '%s|' \"$@\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&cmake, PermissionsExt::from_mode(0o755)).unwrap();
    // A make, so that nothing else has to be found.
    symlink("/bin/true", folder.path().join("make")).unwrap();
    let output = run(folder.path(), &["dirname"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--build|a folder|");
    assert_eq!(output.status.code(), Some(7), "its exit code is passed on");
}

#[test]
fn where_none_can_be_had_one_message_names_the_packages() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["dirname", "cat"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in [
        "there is no cmake and no python3",
        "sudo apt-get install cmake make",
        "sudo dnf install cmake make",
        "brew install cmake",
    ] {
        assert!(message.contains(part), "{part} is missing:\n{message}");
    }
}
