//! All checks of an earlier stage as one check, which bears the stage's id.

use tokio::sync::mpsc;

use crate::judge::run::{Asked, judge_by};
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
    let asked = Asked { stage, written_for: scene.stage(), only: None };
    let verdict = judge_by(asked, &scene.subject, scene.seed, &progress).await;
    for check in &verdict.checks {
        for plan in &check.plan {
            scene.plan(format!("{}: {plan}", check.id));
        }
    }
    let Some(check) = verdict.first_finding() else { return Ok(()) };
    let Some(finding) = check.finding.clone() else { return Ok(()) };
    Err(finding.map(|mut found| {
        for command in &mut found.repeat {
            *command = of_this_program(command, scene.stage(), stage);
        }
        found.repeat.push(alone(scene, stage));
        found.with("stage_check", check.id)
    }))
}

/// A command of that stage's, for the program that is judged.
fn of_this_program(command: &str, written_for: &str, stage: &Stage) -> String {
    command.replace(stage.id, written_for)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::stages::stage;

    #[test]
    fn commands_run_the_program_that_is_judged() {
        let third = stage("03-health-checks").unwrap();
        let command = "LAB_BACKENDS=x pingora-lab run 03-health-checks";
        assert_eq!(
            of_this_program(command, "22-graduation", third),
            "LAB_BACKENDS=x pingora-lab run 22-graduation"
        );
        assert_eq!(of_this_program("nc -lkv 127.0.0.1 6193", "x", third), "nc -lkv 127.0.0.1 6193");
    }
}
