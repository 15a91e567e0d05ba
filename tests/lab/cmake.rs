//! `.cargo/cmake`, by which a machine without cmake builds all the same.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Runs the script with a path that holds only these programs of the system,
/// and those that the test has put there.
fn run(folder: &Path, programs: &[&str], args: &[&str]) -> Output {
    for program in programs {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        let found = String::from_utf8(found.expect("sh").stdout).expect("a UTF-8 path");
        symlink(found.trim(), folder.join(program)).expect("a link");
    }
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/cmake"))
        .args(args)
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
    let output = run(folder.path(), &["dirname"], &["--build", "a folder"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--build|a folder|");
    assert_eq!(output.status.code(), Some(7), "its exit code is passed on");
}

/// A workspace that was moved would not build any more: cmake refuses a build
/// folder that was made elsewhere.
#[test]
fn what_a_build_folder_says_of_another_place_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["cmake", "make"] {
        symlink("/bin/true", folder.path().join(program)).unwrap();
    }
    let build = folder.path().join("build");
    let place = build.to_str().unwrap();
    for (made_in, stays) in [(place, true), ("/elsewhere/build", false)] {
        std::fs::create_dir_all(build.join("CMakeFiles")).unwrap();
        let cache = format!("A:INTERNAL=1\nCMAKE_CACHEFILE_DIR:INTERNAL={made_in}\n");
        std::fs::write(build.join("CMakeCache.txt"), cache).unwrap();
        let programs: &[&str] = if stays { &["dirname", "grep", "rm"] } else { &[] };
        let output = run(folder.path(), programs, &["the source", "-B", place]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in ["CMakeCache.txt", "CMakeFiles"] {
            assert_eq!(build.join(name).exists(), stays, "{name}, made in {made_in}");
        }
    }
}

#[test]
fn where_none_can_be_had_one_message_names_the_packages() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["dirname", "cat"], &["--build", "a folder"]);
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
