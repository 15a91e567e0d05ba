//! A Cargo project of the same make as a learner's workspace, in which each
//! stage is one program that holds all of the stage's variants and is the one
//! by whose name it is run.

use std::fmt::Write;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Step;
use super::variant::Variant;
use crate::course::build::{Build, Diagnostic, Event, Failure, Level, Request};
use crate::course::workspace::template;
use crate::language::Language;

/// By this a folder is known as one that may be written over.
const MARKER: &str = ".course-verify";

/// The project.
#[derive(Debug)]
pub struct Project {
    root: PathBuf,
}

/// A stage's program, built or not.
#[derive(Debug)]
pub struct Built {
    /// What the compiler complains of, as it shows it.
    pub warnings: Vec<String>,
    /// The program of each variant, in their order, or what cargo and the
    /// compiler said where there is none.
    pub programs: Result<Vec<PathBuf>, String>,
}

/// Marks a folder as one that may be written over, and makes it if need be;
/// its absolute path.
///
/// # Errors
///
/// Where the folder holds something else, or can't be written.
pub fn claim(folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let in_use = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    let marker = folder.join(MARKER);
    ensure!(
        !in_use || marker.exists(),
        "{} holds something else; name an empty folder with --dir",
        folder.display()
    );
    let mark = || fs::create_dir_all(&folder).and_then(|()| fs::write(&marker, ""));
    mark().with_context(|| format!("{} cannot be written", marker.display()))?;
    Ok(folder)
}

// === impl Project ===

impl Project {
    /// Writes the project: of its files, those that are not as they should be,
    /// so that a build takes up where the last one ended.
    ///
    /// # Errors
    ///
    /// Where the folder holds something else, or can't be written.
    pub fn write(root: &Path, stages: &[(&str, &[Variant])]) -> anyhow::Result<Self> {
        let project = Self { root: claim(root)? };
        for (path, text, mode) in template::FIXED {
            project.put(path, text, *mode)?;
        }
        for (stage, variants) in stages {
            for variant in *variants {
                let text = as_module(&variant.text)
                    .with_context(|| format!("{stage}: {variant} has not one `fn main`"))?;
                project.put(&source(stage, &variant.module()), &text, 0o644)?;
            }
            project.put(&source(stage, "main"), &dispatcher(variants), 0o644)?;
        }
        let binaries = stages.iter().map(|(stage, _)| (*stage, source(stage, "main")));
        project.put("Cargo.toml", &template::manifest(binaries), 0o644)?;
        Ok(project)
    }

    fn put(&self, path: &str, text: &str, mode: u32) -> anyhow::Result<()> {
        let file = self.root.join(path);
        let write = || {
            if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
                return Ok(());
            }
            fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
            fs::write(&file, text)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))
        };
        write().with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Builds the stages' programs, by one cargo; what came of each, in their order.
    ///
    /// # Errors
    ///
    /// Where the programs' names can't be made; what cargo says is no error.
    pub async fn build(
        &self,
        stages: &[(&'static str, &[Variant])],
        tell: &(dyn Fn(Step<'_>) + Sync),
    ) -> anyhow::Result<Vec<Built>> {
        let ids: Vec<_> = stages.iter().map(|(stage, _)| *stage).collect();
        let mut build = Build::start(Request { workspace: &self.root, stages: &ids, color: false });
        let mut said = Vec::new();
        let mut built: Vec<Result<PathBuf, Failure>> = Vec::new();
        while let Some(event) = build.next().await {
            match event {
                Event::Compiling { names, done, total } => {
                    tell(Step::Building { names: &names, done, total });
                }
                Event::Diagnostic(found) => said.push(found),
                Event::Built { program, .. } => built.push(Ok(program)),
                Event::Failed(failure) => built.push(Err(failure)),
                Event::Downloading | Event::Waiting => {}
            }
        }
        ensure!(built.len() == stages.len(), "the build ended without a word");
        let mut all = Vec::new();
        for ((stage, variants), built) in stages.iter().zip(built) {
            let said = |level| {
                let of_it =
                    move |found: &&Diagnostic| found.level == level && found.target == *stage;
                said.iter().filter(of_it).map(|found| found.rendered.clone())
            };
            let programs = match built {
                Ok(program) => Ok(self.name(stage, &program, variants)?),
                Err(failure) => {
                    let (why, errors) =
                        (failure.explain(Language::En), said(Level::Error).collect::<String>());
                    Err(format!("{why}\n{errors}{}", failure.detail))
                }
            };
            all.push(Built { warnings: said(Level::Warning).collect(), programs });
        }
        Ok(all)
    }

    /// Gives the program the name of each variant.
    fn name(
        &self,
        stage: &str,
        program: &Path,
        variants: &[Variant],
    ) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.root.join("programs").join(stage);
        let name = |variant: &Variant| -> io::Result<PathBuf> {
            let path = folder.join(variant.module());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => symlink(program, &path)?,
            }
            Ok(path)
        };
        fs::create_dir_all(&folder)
            .and_then(|()| variants.iter().map(name).collect())
            .with_context(|| format!("{} cannot be written", folder.display()))
    }
}

fn source(stage: &str, module: &str) -> String {
    format!("src/{stage}/{module}.rs")
}

/// The text with its `main` for others to call; none unless there is one.
fn as_module(text: &str) -> Option<String> {
    let is_main = |line: &str| ["fn main(", "async fn main("].iter().any(|s| line.starts_with(s));
    let public = |line: &str| if is_main(line) { format!("pub {line}") } else { line.to_owned() };
    let once = text.lines().filter(|line| is_main(line)).count() == 1;
    once.then(|| text.split_inclusive('\n').map(public).collect())
}

/// The program that is the variant by whose name it is run.
fn dispatcher(variants: &[Variant]) -> String {
    let mut text = "use std::process::{ExitCode, Termination};\n\n".to_owned();
    for variant in variants {
        if variant.may_warn() {
            text.push_str("#[allow(warnings)]\n");
        }
        let _ = writeln!(text, "mod {};", variant.module());
    }
    text.push_str(
        "\nfn main() -> ExitCode {\n    let name = std::env::args().next().unwrap_or_default();\n    \
         match name.rsplit('/').next().unwrap_or_default() {\n",
    );
    for variant in variants {
        let module = variant.module();
        let _ = writeln!(text, "        \"{module}\" => {module}::main().report(),");
    }
    text.push_str("        name => panic!(\"there is no {name}\"),\n    }\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::lesson;
    use crate::course::verify::variant::variants;

    #[test]
    fn the_one_main_of_a_text_is_made_public() {
        for (text, module) in [
            ("//! x\nfn main() {}\n", "//! x\npub fn main() {}\n"),
            ("#[tokio::main]\nasync fn main() {\n}", "#[tokio::main]\npub async fn main() {\n}"),
        ] {
            assert_eq!(as_module(text).as_deref(), Some(module));
        }
        assert_eq!(as_module("fn other() {}\n    fn main() {}"), None);
        assert_eq!(as_module("fn main() {}\nfn main() {}"), None);
    }

    #[test]
    fn files_that_are_as_they_should_be_stay_and_strangers_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let lesson = &lesson::all()[0];
        let mut variants = variants(lesson).unwrap();
        let write =
            |variants: &[Variant]| Project::write(folder.path(), &[(lesson.id(), variants)]);
        write(&variants).unwrap();
        let at = |module: &str| {
            let file = folder.path().join(source(lesson.id(), module));
            fs::metadata(file).unwrap().modified().unwrap()
        };
        let before = (at("starter"), at("solution"), at("main"));
        variants[0].text.push_str("// changed\n");
        write(&variants).unwrap();
        assert_ne!(at("starter"), before.0);
        assert_eq!((at("solution"), at("main")), (before.1, before.2));

        fs::remove_file(folder.path().join(MARKER)).unwrap();
        let error = write(&variants).unwrap_err().to_string();
        assert!(error.contains("holds something else"), "{error}");
    }
}
