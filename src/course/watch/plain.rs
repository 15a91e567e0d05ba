//! What is printed where there is no terminal.

use super::input::Input;
use super::model::Model;
use super::panel::Surroundings;
use crate::course::build;
use crate::course::report;
use crate::course::trial::Event;
use crate::judge::State;
use crate::language::Language;

/// What is watched, at the start and whenever another stage is chosen.
pub fn watching(model: &Model, around: &Surroundings) -> Vec<String> {
    let file = around.file(model.lesson.id());
    let title = format!("{}  {}", model.lesson.id(), model.lesson.title.in_(model.language));
    let goal = model.lesson.goal.in_(model.language).to_owned();
    let words = match model.language {
        Language::En => format!("Watching {file}; Ctrl-C ends it."),
        Language::Zh => format!("正在监视 {file}，按 Ctrl-C 结束。"),
    };
    vec![title, goal, words]
}

/// What is told of an input that counts.
pub fn told(model: &Model, input: &Input, around: &Surroundings) -> Vec<String> {
    let say = |en: &str, zh: &str| vec![model.say(en, zh).to_owned()];
    match input {
        Input::Saved => say("Saved: building and checking…", "已保存：正在编译并检查……"),
        Input::Trial(generation, Event::Build(event)) if *generation == model.generation => {
            match event {
                build::Event::Downloading => say("Downloading crates…", "正在下载依赖……"),
                build::Event::Waiting => say(
                    "Waiting for another cargo (an editor?)…",
                    "正在等待另一个 cargo（编辑器？）……",
                ),
                // A line for each crate would be a flood.
                build::Event::Compiling { done, total, .. } if done % 25 == 0 && *total > 25 => {
                    match model.language {
                        Language::En => {
                            vec![format!("Compiling the dependencies, once: {done} of {total}")]
                        }
                        Language::Zh => vec![format!("正在编译依赖（只需一次）：{done}/{total}")],
                    }
                }
                _ => Vec::new(),
            }
        }
        Input::Done(generation, report) if *generation == model.generation => {
            let mut lines = report::lines(report, model.language, None, around.invocation);
            if report.state() == State::Pass {
                lines.push(String::new());
                lines.extend(after_a_pass(model, around));
            }
            lines.push(String::new());
            lines
        }
        Input::Untried(generation, why) if *generation == model.generation => vec![why.clone()],
        Input::Notice(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn after_a_pass(model: &Model, around: &Surroundings) -> Vec<String> {
    let (program, id) = (around.invocation, model.lesson.id());
    let compare = match model.language {
        Language::En => format!("Compare with the reference: {program} solution {id}"),
        Language::Zh => format!("对照参考实现：{program} solution {id}"),
    };
    let Some(next) = model.next() else { return vec![compare] };
    let file = around.file(next.id());
    let on = match model.language {
        Language::En => format!("Go on, in another terminal: {program} next   ({file})"),
        Language::Zh => format!("继续（在另一个终端里）：{program} next   （{file}）"),
    };
    let keep = match model.language {
        Language::En => format!("The same with your own program: {program} next --keep"),
        Language::Zh => format!("带着自己的程序继续：{program} next --keep"),
    };
    vec![compare, on, keep, next.goal.in_(model.language).to_owned()]
}
