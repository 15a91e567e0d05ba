//! All checks of an earlier stage as one check, which bears the stage's id.

use tokio::sync::mpsc;

use crate::judge::run::judge_as;
use crate::judge::scene::{Command, Scene};
use crate::judge::stage::{Outcome, Stage};

/// The check that runs all those of a stage.
macro_rules! whole {
    ($stage:expr) => {
        crate::judge::stage::Check {
            id: $stage.id,
            diagnoses: &[],
            run: |scene| {
                futures_util::FutureExt::boxed($crate::judge::stages::graduation::whole::passed(
                    scene, &$stage,
                ))
            },
        }
    };
}
pub(super) use whole;

/// What the first of the stage's checks that is not passed has found.
pub async fn passed(scene: &Scene, stage: &'static Stage) -> Outcome {
    let (progress, _) = mpsc::unbounded_channel();
    let verdict = judge_as(stage, scene.stage(), &scene.subject, scene.seed, &progress).await;
    for check in &verdict.checks {
        for plan in &check.plan {
            scene.plan(format!("{}: {plan}", check.id));
        }
    }
    let Some(check) = verdict.first_finding() else { return Ok(()) };
    let Some(finding) = check.finding.clone() else { return Ok(()) };
    Err(finding.map(|mut found| {
        found.repeat.push(alone(scene, stage));
        found.with("stage_check", check.id)
    }))
}

/// The command that judges the program by this stage's checks alone.
fn alone(scene: &Scene, stage: &Stage) -> String {
    let command = match &scene.subject.command {
        Command::Program(words) => shell_words::join(words),
        Command::Line(line) => line.to_string(),
    };
    let command = shell_words::quote(&command);
    format!("pingora-lab check {} --seed {} --cmd {command}", stage.id, scene.seed)
}
