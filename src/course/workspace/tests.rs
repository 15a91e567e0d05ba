use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::language::Language;

/// Every file below a folder, with what is in it.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

fn new(language: Language) -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = init(&folder.path().join("deep/my-lab"), language).unwrap().workspace;
    (folder, workspace)
}

#[test]
fn a_new_workspace_has_every_stage_and_is_found_from_within() {
    let (_folder, workspace) = new(Language::En);
    for lesson in lesson::all() {
        let file = workspace.stage_file(lesson);
        assert_eq!(fs::read_to_string(&file).unwrap(), lesson.starter());
        assert_eq!(Workspace::find(file.parent().unwrap()), Some(workspace.clone()));
    }
    assert_eq!(Workspace::find(workspace.root()), Some(workspace.clone()));
    assert_eq!(Workspace::find(workspace.root().parent().unwrap()), None);
    for script in [".cargo/cmake", ".cargo/linker"] {
        let mode = fs::metadata(workspace.root().join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} can be run");
    }
}

/// What this project does without: it keeps its metrics itself.
const ONLY_THEIRS: [&str; 3] = ["pingora-prometheus", "protobuf", "protobuf-support"];

#[test]
fn the_lock_file_is_for_exactly_these_dependencies() {
    let (_folder, workspace) = new(Language::En);
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--no-deps"])
        .current_dir(workspace.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap();
    let names: Vec<_> = targets.iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names, lesson::all().iter().map(Lesson::id).collect::<Vec<_>>());

    // And the versions are those that this project is tested with.
    let packages = |text: &str| -> Vec<(String, String)> {
        let lock: toml::Table = text.parse().unwrap();
        let packages = lock["package"].as_array().unwrap().iter();
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        packages.map(|p| (text(&p["name"]), text(&p["version"]))).collect()
    };
    let ours = packages(include_str!("../../../Cargo.lock"));
    let theirs = packages(&fs::read_to_string(workspace.root().join("Cargo.lock")).unwrap());
    assert!(theirs.len() > 100);
    let shared =
        |(name, _): &&(String, String)| name != "my-lab" && !ONLY_THEIRS.contains(&&**name);
    for package in theirs.iter().filter(shared) {
        assert!(ours.contains(package), "{package:?} is not the version in Cargo.lock");
    }
    let version = |name: &str| theirs.iter().find(|(of, _)| of == name).map(|(_, version)| version);
    assert_eq!(version("pingora-prometheus"), version("pingora"));
}

#[test]
fn the_guide_has_a_box_for_every_check_in_both_languages() {
    for language in [Language::En, Language::Zh] {
        let (_folder, workspace) = new(language);
        for lesson in lesson::all() {
            let ids: Vec<_> = lesson.checks.iter().map(|check| check.id.as_str()).collect();
            let ticked = super::super::todo::tick(&workspace.todo(), lesson.id(), &ids).unwrap();
            assert_eq!(ticked, ids.len(), "{} {language:?}", lesson.id());
        }
    }
    let (_folder, english) = new(Language::En);
    let (_folder, chinese) = new(Language::Zh);
    let read =
        |workspace: &Workspace, file| fs::read_to_string(workspace.root().join(file)).unwrap();
    for file in ["README.md", "TODO.md"] {
        assert!(read(&english, file).is_ascii(), "{file}");
        assert!(read(&chinese, file).contains('，'), "{file}");
    }
}

#[test]
fn nothing_is_written_over_and_what_is_missing_is_added() {
    let (_folder, workspace) = new(Language::En);
    let first = &lesson::all()[0];
    let root = workspace.root();
    fs::write(workspace.stage_file(first), "mine").unwrap();
    fs::write(root.join("README.md"), "mine").unwrap();
    fs::write(root.join("notes.txt"), "mine").unwrap();
    fs::remove_file(root.join(".gitignore")).unwrap();
    let mut expected = contents(root);

    let done = init(root, Language::Zh).unwrap();
    assert_eq!(done.written, [PathBuf::from(".gitignore")]);
    let left = [&format!("stages/{}/main.rs", first.id()), "TODO.md", "README.md"];
    assert_eq!(done.left, left.map(PathBuf::from));
    expected.insert(root.join(".gitignore"), fs::read(root.join(".gitignore")).unwrap());
    assert_eq!(contents(root), expected);
}

#[test]
fn another_project_is_left_alone_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[package]").unwrap();
    let before = contents(folder.path());
    let error = init(folder.path(), Language::En).unwrap_err();
    assert!(matches!(error, WorkspaceError::OtherProject(_)), "{error}");
    assert_eq!(contents(folder.path()), before);
    assert!(!folder.path().join(MARKER).exists());
}

#[test]
fn a_file_where_a_folder_is_needed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my-lab");
    fs::write(&file, "x").unwrap();
    for wanted in [file.clone(), file.join("deeper/yet")] {
        let error = init(&wanted, Language::En).unwrap_err();
        let WorkspaceError::NotAFolder(path) = &error else { panic!("{error}") };
        assert_eq!(path, &file);
        assert!(error.explain(Language::Zh).contains("需要目录"));
    }
}

#[test]
fn a_reset_keeps_what_was_there() {
    let (_folder, workspace) = new(Language::En);
    let first = &lesson::all()[0];
    let file = workspace.stage_file(first);
    assert_eq!(workspace.reset(first).unwrap(), None, "it is the starter");
    for n in 1..=2 {
        fs::write(&file, format!("mine {n}")).unwrap();
        let kept = workspace.reset(first).unwrap().unwrap();
        assert_eq!(kept, file.with_file_name(format!("main.rs.bak-{n}")));
        assert_eq!(fs::read_to_string(kept).unwrap(), format!("mine {n}"));
        assert_eq!(fs::read_to_string(&file).unwrap(), first.starter());
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(workspace.reset(first).unwrap(), None);
    assert_eq!(fs::read_to_string(&file).unwrap(), first.starter());
}

#[test]
fn a_program_is_carried_on_with_its_modules_and_nothing_is_lost() {
    let (_folder, workspace) = new(Language::En);
    let [first, second] = [&lesson::all()[0], &lesson::all()[1]];
    let (from, to) = (workspace.stage_file(first), workspace.stage_file(second));
    let write = |file: &Path, name: &str, text: &str| {
        let file = file.with_file_name(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    let own = [("main.rs", "mod pool;"), ("pool.rs", "mine"), ("deep/er/more.rs", "deep")];
    own.iter().for_each(|(name, text)| write(&from, name, text));
    // None of them is the program.
    for name in ["main.rs.bak-1", ".main.rs.swp", "main.rs~", "deep/pool.rs.bak-2"] {
        write(&from, name, "not the program");
    }
    let carried = workspace.carry(first, second).unwrap();
    let mut expected: Vec<_> = own.iter().map(|(name, _)| to.with_file_name(name)).collect();
    // Last of all the stage's own file.
    expected.rotate_left(1);
    let mut written = carried.written.clone();
    written[..2].sort();
    expected[..2].sort();
    assert_eq!((written, carried.kept), (expected, Vec::new()), "the starter is not kept");
    let mut after = contents(to.parent().unwrap());
    for (name, text) in own {
        assert_eq!(after.remove(&to.with_file_name(name)).as_deref(), Some(text.as_bytes()));
    }
    assert!(after.is_empty(), "{after:?}");

    // A second time there is nothing to do; what was changed meanwhile is kept.
    assert_eq!(workspace.carry(first, second).unwrap(), Carried::default());
    write(&to, "main.rs", "changed");
    write(&to, "pool.rs", "changed too");
    write(&to, "other.rs", "not carried");
    let before = contents(from.parent().unwrap());
    let carried = workspace.carry(first, second).unwrap();
    let kept = ["pool.rs.bak-1", "main.rs.bak-1"].map(|name| to.with_file_name(name));
    assert_eq!(carried.kept, kept);
    assert_eq!(fs::read(&kept[0]).unwrap(), b"changed too");
    assert_eq!(fs::read(&kept[1]).unwrap(), b"changed");
    assert_eq!(fs::read(to.with_file_name("other.rs")).unwrap(), b"not carried");
    assert_eq!(contents(from.parent().unwrap()), before, "what is carried stays");
}

#[test]
fn a_program_that_cannot_be_carried_changes_nothing_that_counts() {
    let (_folder, workspace) = new(Language::En);
    let [first, second] = [&lesson::all()[0], &lesson::all()[1]];
    let (from, to) = (workspace.stage_file(first), workspace.stage_file(second));
    fs::write(from.with_file_name("pool.rs"), "mine").unwrap();
    fs::write(&from, "mod pool;").unwrap();
    fs::create_dir(to.with_file_name("pool.rs")).unwrap();
    let error = workspace.carry(first, second).unwrap_err();
    assert!(error.explain(Language::En).contains("pool.rs"), "{error}");
    assert_eq!(fs::read_to_string(&to).unwrap(), second.starter());
}

#[test]
fn a_workspace_of_an_older_version_gets_the_new_stages_and_keeps_the_rest() {
    let (_folder, workspace) = new(Language::En);
    let last = lesson::all().last().unwrap();
    let manifest = workspace.root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let block = format!("\n[[bin]]\nname = \"{0}\"\npath = \"stages/{0}/main.rs\"\n", last.id());
    assert!(text.contains(&block));
    let line = "bcrypt = \"0.19\"\n";
    assert!(text.contains(line));
    let comment = "# mine, without a newline";
    let older = text.replace(&block, comment);
    fs::write(&manifest, older.replace(line, "")).unwrap();
    fs::remove_dir_all(workspace.stage_file(last).parent().unwrap()).unwrap();

    assert_eq!(workspace.add_missing_stages().unwrap(), [workspace.stage_file(last)]);
    // A dependency that was missing is the last of them now.
    let (before, after) = text.split_once("\n\n# Tuned").unwrap();
    let before = before.replace(line, "");
    let newer = format!("{before}\n{line}\n# Tuned{after}{comment}");
    assert_eq!(fs::read_to_string(&manifest).unwrap(), newer);
    assert!(workspace.add_missing_stages().unwrap().is_empty());
    assert_eq!(fs::read_to_string(&manifest).unwrap(), newer);

    for broken in ["[package", "bin = []\n"] {
        fs::write(&manifest, broken).unwrap();
        let error = workspace.add_missing_stages().unwrap_err();
        assert!(matches!(error, WorkspaceError::Manifest { .. }), "{error}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), broken);
    }
}
