//! What one check has to work with: its own randomness, its own backends, its
//! own running program, and words for what it found.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::client::Request;
use super::common;
use super::config_file::ConfigFile;
use super::diagnosis::{Diagnosis, Evidence, Finding};
use super::draw::Draw;
use super::program::{CommandLine, Guarded, Launch, StartFailure, wait_until_listening_beside};
use super::running::Running;
use crate::backends::ports;
use crate::backends::recording::{Recorder, RecordingBackend};

/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(10);

/// How much memory each process of the program may have, in bytes.
const MEMORY: u64 = 1 << 30;

/// A file of more lines than this is not written by hand.
const BY_HAND: usize = 40;

/// The authorities that a program trusts, as far as it goes by `SSL_CERT_FILE` (OpenSSL, Go, and
/// rustls with the system's list): one that has vouched for nobody. No check has to do with those
/// of the system, and each connector of Pingora reads them all, which takes a build without
/// optimization 30 ms.
const AUTHORITIES: &str = include_str!("authorities.pem");

/// The name of their file.
const AUTHORITIES_FILE: &str = "authorities.pem";

/// How often a port that was taken meanwhile is given up for another.
const PORT_TRIES: usize = 3;

/// What is judged: how to run it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The program that stands between the judge and the subject: this one.
    pub guard: PathBuf,
    /// The command.
    pub command: Command,
    /// Its working directory.
    pub cwd: PathBuf,
}

/// A command to judge.
#[derive(Clone, Debug)]
pub enum Command {
    /// A program and its arguments, run as it is.
    Program(Vec<String>),
    /// What a person wrote after `--cmd`, with placeholders for the addresses.
    Line(CommandLine),
}

/// What one check has to work with.
#[derive(Debug)]
pub struct Scene {
    stage: &'static str,
    /// What is judged.
    pub subject: Subject,
    /// What is drawn from.
    pub seed: u64,
    /// Names, paths, payloads, orders: drawn from the seed.
    pub draw: Draw,
    /// Everything that the backends of this check see.
    pub recorder: Recorder,
    plan: Mutex<Vec<String>>,
    figures: Mutex<Evidence>,
    programs: Mutex<Vec<Arc<Guarded>>>,
    /// Where its files are, once there is one: authorities, configurations, certificates.
    folder: Mutex<Option<TempDir>>,
}

/// What a program is told to do, for an address to listen on.
type Write<'a> = &'a (dyn Fn(SocketAddr) -> ConfigFile + Sync);

/// Where a program is that is told what to do by a file.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Where the file says that it is to listen.
    pub listen: SocketAddr,
    /// What `LAB_LISTEN` says, which is not to matter then.
    pub elsewhere: SocketAddr,
    /// What `LAB_BACKENDS` says, which is not to matter either: nobody is there.
    pub nobody: SocketAddr,
}

// === impl Scene ===

impl Scene {
    /// The scene of one check.
    pub fn new(stage: &'static str, check: &str, subject: Subject, seed: u64) -> Self {
        Self {
            stage,
            subject,
            seed,
            draw: Draw::new(seed, stage, check),
            recorder: Recorder::new(),
            plan: Mutex::default(),
            figures: Mutex::default(),
            programs: Mutex::default(),
            folder: Mutex::default(),
        }
    }

    /// The scene of a program that was written for this stage, and is judged by the checks of
    /// an earlier one.
    #[must_use]
    pub fn written_for(self, stage: &'static str) -> Self {
        Self { stage, ..self }
    }

    /// The stage that the program was written for: the one that is judged, or a later one.
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// Recording backends, named `backend 1` and so on.
    ///
    /// # Errors
    ///
    /// The machine has no port for one, which is inconclusive.
    pub fn backends(&self, count: usize) -> Result<Vec<RecordingBackend>, Finding> {
        self.backends_named("backend", count)
    }

    /// The same, named with this word and a number.
    ///
    /// # Errors
    ///
    /// As [`Scene::backends`].
    pub fn backends_named(
        &self,
        word: &str,
        count: usize,
    ) -> Result<Vec<RecordingBackend>, Finding> {
        (1..=count)
            .map(|number| RecordingBackend::start(&self.recorder, format!("{word} {number}")))
            .collect::<Result<_, _>>()
            .map_err(|error| common::our_error("a backend could not be opened", &error))
    }

    /// A certificate for each of these lists of names, in files beside those of the
    /// configuration, which are there as long as the scene.
    ///
    /// # Errors
    ///
    /// They can't be made here, which is inconclusive.
    pub fn certificates(&self, wanted: &[Vec<String>]) -> Result<Certificates, Finding> {
        let folder = self.free_path("certificates-", "")?;
        let issued =
            std::fs::create_dir(&folder).and_then(|()| Certificates::issue(&folder, wanted));
        issued.map_err(|error| common::our_error("no certificates could be made", &error))
    }

    /// Starts the program in front of these backends, and waits until it listens.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start(&self, backends: &[RecordingBackend]) -> Result<Running<'_>, Finding> {
        self.start_with(backends, &[]).await
    }

    /// The same with further settings in its environment.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start_with(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
    ) -> Result<Running<'_>, Finding> {
        self.start_again(backends, settings, None).await
    }

    /// Starts the program with a configuration file (`LAB_CONFIG`), and waits until it
    /// listens on the address for which the file was written. What `LAB_LISTEN` and
    /// `LAB_BACKENDS` say leads nowhere then, unless the settings say otherwise.
    ///
    /// # Errors
    ///
    /// Why it does not listen.
    pub async fn start_configured(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
        write: Write<'_>,
    ) -> Result<Running<'_>, Finding> {
        self.start_again(backends, settings, Some(write)).await
    }

    /// Who ends with a file that is right has refused it, and who listens where `LAB_LISTEN`
    /// says has not read it.
    fn about_file(&self, found: Diagnosis, write: Write<'_>, elsewhere: &str) -> Diagnosis {
        let actual = found.evidence.get("actual").and_then(|actual| actual.as_str());
        let id = match found.id {
            "exited-at-once" | "panicked-at-start" => "good-file-refused",
            "listens-elsewhere" if actual == Some(elsewhere) => common::FILE_IGNORED,
            _ => return found,
        };
        let output = found.evidence.get("output").cloned().unwrap_or_default();
        let said = output.as_array().and_then(|lines| lines.first()?.as_str());
        let said = said.unwrap_or("nothing").to_owned();
        // On its usual port it would listen without having read the file, too.
        let ignored = id == common::FILE_IGNORED;
        let file = write(([127, 0, 0, 1], if ignored { 6187 } else { 6188 }).into());
        let found = found.renamed(id).with("said", said).with("elsewhere", elsewhere);
        if file.len() > BY_HAND {
            return found;
        }
        let mut commands = vec![
            file.command("lab.toml"),
            format!("LAB_CONFIG=$PWD/lab.toml pingora-lab run {}; echo $?", self.stage),
        ];
        if ignored {
            commands.push("curl -i http://127.0.0.1:6187/".to_owned());
        }
        found.repeat(commands)
    }

    async fn start_again(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
        write: Option<Write<'_>>,
    ) -> Result<Running<'_>, Finding> {
        let mut tries = 1;
        loop {
            let started = self.try_start(backends, settings, write).await;
            match started {
                // Somebody else was quicker at this port: take another.
                Err(finding)
                    if finding.diagnosis().id == common::PORT_TAKEN && tries < PORT_TRIES =>
                {
                    tries += 1;
                }
                started => return started,
            }
        }
    }

    async fn try_start(
        &self,
        backends: &[RecordingBackend],
        settings: &[(&str, &str)],
        write: Option<Write<'_>>,
    ) -> Result<Running<'_>, Finding> {
        let addresses: Vec<_> = backends.iter().map(RecordingBackend::address).collect();
        let mut elsewhere = String::new();
        let (listen, config, program) = match write {
            None => {
                let listen = self.free_address()?;
                let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let contract = [("LAB_LISTEN", listen.to_string()), ("LAB_BACKENDS", list)];
                (listen, None, self.run(listen, &addresses, &contract, settings).await?)
            }
            Some(write) => {
                let at = self.addresses()?;
                let path = self.write(&write(at.listen))?;
                let told = settings.iter().find(|(name, _)| *name == "LAB_LISTEN");
                elsewhere =
                    told.map_or_else(|| at.elsewhere.to_string(), |(_, said)| (*said).into());
                let program = self.run_configured(at, &path, &addresses, settings).await?;
                (at.listen, Some(path), program)
            }
        };
        // Its listeners need not come all at once.
        let admin = write.and_then(|write| write(listen).admin());
        let listens = wait_until_listening_beside(&program, listen, START, admin).await;
        listens.map_err(|failure| {
            let finding = common::start_failure(failure, listen);
            match write {
                Some(write) => finding.map(|found| self.about_file(found, write, &elsewhere)),
                None => finding,
            }
        })?;
        Ok(Running::new(self, program, listen, config))
    }

    /// An address that nobody has.
    ///
    /// # Errors
    ///
    /// There is none, which is inconclusive.
    pub fn free_address(&self) -> Result<SocketAddr, Finding> {
        ports::free().map_err(|error| common::our_error("no free port", &error))
    }

    /// Addresses for a program that is told what to do by a file.
    ///
    /// # Errors
    ///
    /// As [`Scene::free_address`].
    pub fn addresses(&self) -> Result<Addresses, Finding> {
        let [listen, elsewhere, nobody] = [(); 3].map(|()| self.free_address());
        Ok(Addresses { listen: listen?, elsewhere: elsewhere?, nobody: nobody? })
    }

    /// Writes a configuration file, which is there as long as the scene.
    ///
    /// # Errors
    ///
    /// It can't be written, which is inconclusive.
    pub fn write(&self, file: &ConfigFile) -> Result<PathBuf, Finding> {
        let path = self.config_path()?;
        let written = std::fs::write(&path, file.text());
        written.map_err(|error| common::our_error("a file could not be written", &error))?;
        Ok(path)
    }

    /// Where a configuration file would be, and none is.
    ///
    /// # Errors
    ///
    /// There can be no folder for it, which is inconclusive.
    pub fn config_path(&self) -> Result<PathBuf, Finding> {
        self.free_path("lab-", ".toml")
    }

    /// A path in the scene's folder at which nothing is.
    fn free_path(&self, before: &str, behind: &str) -> Result<PathBuf, Finding> {
        let folder = self.folder()?;
        let mut free = (1..).map(|number| folder.join(format!("{before}{number}{behind}")));
        Ok(free.find(|path| !path.exists()).unwrap_or_default())
    }

    /// The scene's folder, which has the authorities' file from the beginning.
    fn folder(&self) -> Result<PathBuf, Finding> {
        let mut folder = self.folder.lock();
        if folder.is_none() {
            let made = tempfile::Builder::new().prefix("pingora-lab-check-").tempdir();
            let made = made.and_then(|made| {
                std::fs::write(made.path().join(AUTHORITIES_FILE), AUTHORITIES)?;
                Ok(made)
            });
            *folder =
                Some(made.map_err(|error| common::our_error("no folder could be made", &error))?);
        }
        Ok(folder.as_ref().map_or(Path::new("/"), TempDir::path).to_owned())
    }

    /// Writes a file that a configuration file names, beside it. It is there as long as the
    /// scene.
    ///
    /// # Errors
    ///
    /// It can't be written, which is inconclusive.
    pub fn write_beside(&self, name: &str, content: &[u8]) -> Result<PathBuf, Finding> {
        let path = self.config_path()?.with_file_name(name);
        let written = std::fs::write(&path, content);
        written.map_err(|error| common::our_error("a file could not be written", &error))?;
        Ok(path)
    }

    /// Runs the program with a configuration file, and does not wait for anything.
    ///
    /// # Errors
    ///
    /// It can't be run.
    pub async fn run_configured(
        &self,
        at: Addresses,
        file: &Path,
        backends: &[SocketAddr],
        settings: &[(&str, &str)],
    ) -> Result<Arc<Guarded>, Finding> {
        let contract = [
            ("LAB_CONFIG", file.display().to_string()),
            ("LAB_LISTEN", at.elsewhere.to_string()),
            ("LAB_BACKENDS", at.nobody.to_string()),
        ];
        self.run(at.listen, backends, &contract, settings).await
    }

    /// Runs the program once more, beside one that runs already, with a file of its own that
    /// names the same addresses. Nothing is waited for.
    ///
    /// # Errors
    ///
    /// It can't be run.
    pub async fn run_beside(
        &self,
        first: &Running<'_>,
        file: &ConfigFile,
        settings: &[(&str, &str)],
    ) -> Result<Running<'_>, Finding> {
        let at = Addresses { listen: first.listen, ..self.addresses()? };
        let path = self.write(file)?;
        let program = self.run_configured(at, &path, &[], settings).await?;
        Ok(Running::new(self, program, first.listen, Some(path)))
    }

    /// Runs the program with these variables, the settings before the contract's where
    /// both have one.
    async fn run(
        &self,
        listen: SocketAddr,
        backends: &[SocketAddr],
        contract: &[(&str, String)],
        settings: &[(&str, &str)],
    ) -> Result<Arc<Guarded>, Finding> {
        let order = self.launch(listen, backends, contract, settings)?.order(MEMORY);
        let program = Guarded::start(&self.subject.guard, &order).await;
        let program =
            program.map_err(|error| common::start_failure(StartFailure::from(error), listen))?;
        let program = Arc::new(program);
        self.programs.lock().push(Arc::clone(&program));
        Ok(program)
    }

    fn launch(
        &self,
        listen: SocketAddr,
        backends: &[SocketAddr],
        contract: &[(&str, String)],
        settings: &[(&str, &str)],
    ) -> Result<Launch, Finding> {
        let command = match &self.subject.command {
            Command::Program(words) => words.clone(),
            Command::Line(line) => line.fill(listen, backends).map_err(|error| {
                Diagnosis::new("command-does-not-fit")
                    .with("reason", error.to_string())
                    .inconclusive()
            })?,
        };
        let set = |name: &str| settings.iter().any(|(other, _)| *other == name);
        let contract = contract.iter().filter(|(name, _)| !set(name));
        let contract = contract.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let scratch = self.folder()?;
        let authorities = scratch.join(AUTHORITIES_FILE).display().to_string();
        let authorities = ("SSL_CERT_FILE".to_owned(), authorities);
        let env = std::iter::once(authorities).chain(contract).chain(settings).collect();
        let cwd = self.subject.cwd.clone();
        Ok(Launch { command, env, cwd, scratch: Some(scratch) })
    }

    /// Notes what the check plans to do, in words that are the same for the same
    /// seed: no ports, no times.
    pub fn plan(&self, words: impl Into<String>) {
        self.plan.lock().push(words.into());
    }

    /// What was planned.
    pub fn planned(&self) -> Vec<String> {
        self.plan.lock().clone()
    }

    /// Notes the figures that the check has come to, which are told of a program that passes
    /// too.
    pub fn measured(&self, figures: Evidence) {
        *self.figures.lock() = figures;
    }

    /// What was measured; nothing by most checks.
    pub fn figures(&self) -> Evidence {
        self.figures.lock().clone()
    }

    /// The judge itself failed: nothing is said about the program.
    pub fn our_error(&self, what: &str, error: &dyn std::fmt::Display) -> Finding {
        common::our_error(what, error)
    }

    /// Commands that send this request by hand: the program in one terminal, the
    /// client in another.
    pub fn by_hand(&self, request: &Request) -> Vec<String> {
        common::by_hand(self.stage, request)
    }

    /// Ends every program that was started, and waits until nothing of it is left.
    pub async fn end(&self) {
        let programs = std::mem::take(&mut *self.programs.lock());
        // Whoever was given the program is done with it, or was dropped.
        for program in programs.into_iter().filter_map(Arc::into_inner) {
            program.end().await;
        }
    }
}
