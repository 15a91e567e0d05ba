//! What can be asked of a configuration without a start.

use std::path::Path;

use serde_json::Value;

use crate::support::Program;

const FILE: &str = "\
# A comment.
[[listener]]
address = '127.0.0.1:0'

[[pool]]
name = 'shop'
[[pool.backend]]
address = '127.0.0.1:9001'
weight = 3

[admin]
address = '127.0.0.1:0'
token = { env = 'LAB_TOKEN' }

[[route]]
prefix = '/shop'
pool = 'shop'
";

const TOKEN: &str = "not-for-any-eyes";

fn ask(flag: &str, text: &str, file: &Path) -> (i32, String, String) {
    std::fs::write(file, text).unwrap();
    let args = ["serve", "--config", file.to_str().unwrap(), flag];
    Program::start_with(args, |command| {
        command.env("LAB_TOKEN", TOKEN);
    })
    .finish()
}

#[test]
fn check_says_whether_the_file_is_valid_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let (code, said, complaint) = ask("--check", FILE, &file);
    assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
    assert_eq!(said, "The configuration is valid.");
    let name = file.display();
    for (right, wrong, told) in [
        ("weight = 3", "weight = 0", ":9:10: "),
        ("weight = 3", "weigth = 3", ":9:1: unknown key `weigth`: did you mean `weight`? — in: "),
        ("weight = 3", "weight = 'much'", ":9:10: "),
        (
            "pool = 'shop'",
            "pool = 'shpo'",
            ":17:8: there is no pool \"shpo\": did you mean \"shop\"?",
        ),
        ("LAB_TOKEN", "NO_SUCH_TOKEN", ":13:9: the environment has no variable NO_SUCH_TOKEN"),
    ] {
        let (code, said, complaint) = ask("--check", &FILE.replace(right, wrong), &file);
        assert_eq!((code, said.as_str()), (1, ""), "{complaint}");
        assert!(complaint.starts_with(&format!("error: {name}{told}")), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        // Secrets are told by their place, everything else by the line itself.
        let line = complaint.split_once(" — in: ").map(|(_, line)| line);
        assert!(line.is_some_and(|line| line.contains(wrong)), "{complaint}");
    }
}

#[test]
fn print_config_shows_every_default_and_no_secret_and_can_be_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.toml");
    let (code, printed, complaint) = ask("--print-config", FILE, &file);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert!(!printed.contains(TOKEN), "{printed}");
    for line in ["weight = 3", "token = \"***\"", "drain = \"10s\"", "header_timeout = \"10s\""] {
        assert!(printed.contains(line), "{line} is missing:\n{printed}");
    }
    let (code, again, complaint) = ask("--print-config", &printed, &file);
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert_eq!(again, printed);
}

#[test]
fn the_schema_knows_the_keys_their_kinds_and_what_they_mean() {
    let (code, printed, _) = Program::run(["serve", "--schema"]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    for key in ["listener", "pool", "route", "limits", "rate_limit", "auth", "access", "cors"] {
        let described = schema["properties"][key]["description"].as_str();
        assert!(described.is_some_and(|text| text.len() > 10), "{key}: {described:?}");
    }
}
