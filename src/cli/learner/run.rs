//! `pingora-lab run`: a stage by hand, beside the lab backends.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;

use super::{Desk, StageArg};
use crate::backends::{LabBackends, Site};
use crate::cli::{Exit, Global, invocation};
use crate::course::build::{self, Build};
use crate::language::Language;

/// The ports of the lab backends, which the stages' programs take for granted.
const PORTS: [u16; Site::ALL.len()] = [6190, 6191, 6192];

pub(in crate::cli) fn run(stage: StageArg, global: &Global) -> anyhow::Result<Exit> {
    let desk = Desk::find(global)?;
    let lesson = desk.stage(&stage)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let Some(program) = runtime.block_on(build(&desk, lesson.id())) else {
        return Ok(Exit::Failed);
    };
    // Kept until the program ends.
    let _backends = backends(desk.language)?;
    let listen = std::env::var("LAB_LISTEN").unwrap_or_else(|_| "127.0.0.1:6188".to_owned());
    let mut out = std::io::stdout().lock();
    let probe = invocation();
    let _ = match desk.language {
        Language::En => writeln!(
            out,
            "{} runs on http://{listen}; Ctrl-C to stop.\nTry, in another terminal:\n  {probe} probe --count 5 http://{listen}/get",
            lesson.id()
        ),
        Language::Zh => writeln!(
            out,
            "{} 运行在 http://{listen}，按 Ctrl-C 停止。\n在另一个终端里试试：\n  {probe} probe --count 5 http://{listen}/get",
            lesson.id()
        ),
    };
    drop(out);
    // The terminal's Ctrl-C reaches the program too; we wait for its end.
    let _signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])
        .context("cannot listen for signals")?;
    let status = std::process::Command::new(&program)
        .current_dir(desk.workspace.root())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    // Ended by the person, with a signal, is as good as any end.
    Ok(if status.success() || status.code().is_none() { Exit::Good } else { Exit::Failed })
}

/// Builds the stage; what the compiler says goes to stderr.
async fn build(desk: &Desk, stage: &str) -> Option<std::path::PathBuf> {
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let request = build::Request { workspace: desk.workspace.root(), stages: &[stage], color };
    let mut build = Build::start(request);
    while let Some(event) = build.next().await {
        let mut err = std::io::stderr().lock();
        let _ = match event {
            build::Event::Built { program, .. } => return Some(program),
            build::Event::Diagnostic(diagnostic) => write!(err, "{}", diagnostic.rendered),
            build::Event::Failed(failure) => {
                writeln!(err, "{}\n{}", failure.explain(desk.language), failure.detail)
            }
            _ => Ok(()),
        };
    }
    None
}

/// The lab backends on their usual ports, unless they run already.
fn backends(language: Language) -> anyhow::Result<Option<LabBackends>> {
    if std::env::var_os("LAB_BACKENDS").is_some_and(|list| {
        list.to_str()
            .is_some_and(|list| !PORTS.iter().any(|port| list.contains(&format!(":{port}"))))
    }) {
        return Ok(None);
    }
    let wanted: Vec<_> = Site::ALL
        .into_iter()
        .zip(PORTS)
        .map(|(site, port)| (site, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
        .collect();
    match LabBackends::bind(&wanted) {
        Ok(bound) => Ok(Some(bound.start().context("cannot start the lab backends")?)),
        Err(error) if error.failures.len() == wanted.len() => {
            let words = match language {
                Language::En => {
                    "Ports 6190 to 6192 are taken: lab backends run there already, it seems."
                }
                Language::Zh => "端口 6190 到 6192 已被占用：看来实验后端已经在运行。",
            };
            let _ = writeln!(std::io::stdout(), "{words}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
