//! What the program answers and takes beside what `serve` does, which is this very binary with
//! the same file, in the same run.
//!
//! Both run all the time, in front of the same backends, and load goes to them in turn. Wrong
//! answers are told before any figure counts.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `setup` | the file, the requests, and the two programs |
//! | `load` | clients that ask without a pause |
//! | `backend` | backends that answer and do nothing else |
//! | `share` | what is said of the figures, and when |

mod backend;
mod load;
mod setup;
mod share;

use std::time::Duration;

use crate::judge::diagnosis::{Diagnosis, Evidence, Finding};
use crate::judge::machine::Machine;
use crate::judge::program::CpuTime;
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use load::{Slice, Wrong};
use setup::{Plan, Side, beside, processors};
use share::{CPU, Done, REQUESTS, Said, Shares};

/// What only this check can find.
pub const DIAGNOSES: &[&str] = &[
    "fails-under-load",
    "connections-not-kept",
    "backend-connections-not-kept",
    "too-much-cpu",
    "one-thread",
    "waits-under-load",
    "figures-unclear",
];

/// How long load goes to one of the two at a time.
const SLICE: Duration = Duration::from_millis(110);

/// Before anything counts both have their connections and threads.
const WARM_UP: Duration = Duration::from_millis(150);

/// Connections are kept where so many requests come for each, or more. There are hundreds
/// for each, or one.
const KEPT: u64 = 4;

/// Whoever answers too few requests waits for something if it is at work for less than this
/// part of what `serve` is in the same time. Else it works, and for something else.
const WAITS: f64 = 0.75;

/// Whoever answers fewer than this part of `serve`'s requests is to blame for it, however busy the
/// machine is: the two take turns.
const FEW: f64 = 0.4;

/// One thread has done the work where it took this part of the CPU time. How many requests
/// came of it is no measure: where others leave no more than one processor, one thread does as
/// much as two.
const ALONE: f64 = 0.8;

/// All that one of the two has done and taken, over all rounds.
#[derive(Debug, Default)]
struct Total {
    under_load: Duration,
    answers: u64,
    connections: u64,
    to_backends: u64,
    cpu: Option<Duration>,
    /// Of this the part that its busiest thread took.
    busiest: Option<f64>,
}

/// The check.
pub async fn performance(scene: &Scene) -> Outcome {
    let reference = beside(scene);
    let outcome = beside_serve(scene, &reference).await;
    reference.end().await;
    outcome
}

async fn beside_serve(scene: &Scene, reference: &Scene) -> Outcome {
    let plan = Plan::drawn(scene)?;
    let program = plan.start(scene).await?;
    let serve = plan.start(reference).await;
    let serve = serve.map_err(|finding| ours(scene, finding.diagnosis().id))?;
    let mut sides = [program, serve];
    let (mut shares, mut totals) = (Shares::default(), [Total::default(), Total::default()]);
    for (which, side) in sides.iter_mut().enumerate() {
        loaded(scene, which, side, WARM_UP).await?;
    }
    let begun: Vec<_> = sides.iter().map(|side| side.running.cpu()).collect();
    let before = Machine::now();
    let said = loop {
        let mut round = [Done::default(), Done::default()];
        for which in shares.order() {
            let side = &mut sides[which];
            let (before, to_backends) = (side.running.cpu(), plan.connections());
            let slice = loaded(scene, which, side, SLICE).await?;
            let cpu = between(before.as_ref(), side.running.cpu().as_ref());
            round[which].note(&slice, cpu);
            totals[which].note(&slice, cpu, plan.connections() - to_backends);
        }
        shares.note(&round[0], &round[1]);
        let said = shares.say();
        if said != Said::Unclear || shares.is_last() {
            break said;
        }
    };
    let compared = totals.iter().filter_map(|total| total.cpu).sum();
    let short =
        before.zip(Machine::now()).is_some_and(|(then, now)| then.was_short(&now, compared));
    for ((total, begun), side) in totals.iter_mut().zip(begun).zip(&sides) {
        total.busiest = begun.zip(side.running.cpu()).map(|(begun, now)| busiest(&begun, &now));
    }
    scene.measured(measured(&shares, &totals[0]));
    match diagnosed(said, &shares, &totals, processors()) {
        None => Ok(()),
        Some(found) if found.id == "figures-unclear" => Err(found.inconclusive()),
        // Both wait for others then, and which of the two does for longer is chance.
        Some(found) if found.id == "waits-under-load" && short && shares.requests() > FEW => {
            Err(found.renamed("figures-unclear").inconclusive())
        }
        Some(found) => Err(found.fail()),
    }
}

/// Puts one of the two under load for so long.
///
/// # Errors
///
/// It does not answer as it should, which is inconclusive for `serve`.
async fn loaded(
    scene: &Scene,
    which: usize,
    side: &mut Side<'_>,
    length: Duration,
) -> Result<Slice, Finding> {
    let load = side.load.take();
    let mut load = load.ok_or_else(|| ours(scene, "there is no load"))?;
    let run = tokio::task::spawn_blocking(move || (load.run(length), load)).await;
    let (slice, load) = run.map_err(|error| ours(scene, &error.to_string()))?;
    side.load = Some(load);
    match slice {
        Ok(slice) => Ok(slice),
        Err(wrong) if which > 0 => Err(ours(scene, &wrong.how)),
        Err(wrong) => Err(fails(side, &wrong).await),
    }
}

/// The finding for a request that was not answered as it should be.
async fn fails(side: &Side<'_>, wrong: &Wrong) -> Finding {
    if let Some(ended) = side.running.ended().await {
        return ended;
    }
    let Wrong { asked, how, timed } = wrong;
    let found = Diagnosis::new("fails-under-load")
        .compared("200 with what the backend has answered", format!("{asked}: {how}"))
        .with("asked", asked.as_str())
        .with("how", how.as_str())
        .with("clients", side.connections)
        .with("output", side.running.last_lines());
    if *timed { found.timed().fail() } else { found.fail() }
}

/// `serve` does not do its part, which says nothing of the program.
fn ours(scene: &Scene, why: &str) -> Finding {
    scene.our_error("serve beside the program", &why)
}

/// What the figures are, for whoever passes.
fn measured(shares: &Shares, program: &Total) -> Evidence {
    [
        ("requests", two_digits(shares.requests())),
        ("cpu", or_unknown(shares.cpu())),
        ("busiest_thread", or_unknown(program.busiest)),
    ]
    .into_iter()
    .collect()
}

/// The finding for these figures; none where they are as they should be.
fn diagnosed(
    said: Said,
    shares: &Shares,
    [program, serve]: &[Total; 2],
    processors: usize,
) -> Option<Diagnosis> {
    let (requests, cpu) = (shares.requests(), shares.cpu());
    let at_work = program.at_work().zip(serve.at_work());
    // On a machine with much else to do both wait, and time at work says little.
    let waits = cpu.is_none_or(|cpu| cpu < CPU)
        || at_work.is_none_or(|(program, serve)| program < serve * WAITS);
    let alone = program.busiest.is_some_and(|part| part >= ALONE);
    let id = match said {
        _ if !is_kept(program.answers, program.connections) => "connections-not-kept",
        _ if !is_kept(program.answers, program.to_backends) => "backend-connections-not-kept",
        // Of one processor a second thread makes no use.
        _ if alone && processors > 1 => "one-thread",
        Said::Passed => return None,
        Said::Unclear => "figures-unclear",
        Said::TooFew if waits => "waits-under-load",
        Said::TooFew | Said::TooMuchCpu => "too-much-cpu",
    };
    let of = |requests: f64, cpu: Option<f64>, words: [&str; 2]| match cpu {
        Some(cpu) => format!(
            "{}{} of serve's requests a second, {}{} of its CPU time for each",
            words[0],
            two_digits(requests),
            words[1],
            two_digits(cpu)
        ),
        None => format!("{}{} of serve's requests a second", words[0], two_digits(requests)),
    };
    Some(
        Diagnosis::new(id)
            .compared(
                of(REQUESTS, cpu.map(|_| CPU), ["at least ", "at most "]),
                of(requests, cpu, ["", ""]),
            )
            .with("requests", two_digits(requests))
            .with("requests_bar", two_digits(REQUESTS))
            .with("cpu", or_unknown(cpu))
            .with("cpu_bar", two_digits(CPU))
            .with("at_work", or_unknown(program.at_work()))
            .with("serve_at_work", or_unknown(serve.at_work()))
            .with("busiest_thread", or_unknown(program.busiest))
            .with("processors", processors)
            .with("answers", program.answers)
            .with("connections", program.connections)
            .with("to_backends", program.to_backends)
            .with("serve_to_backends", serve.to_backends)
            .with("rounds", shares.rounds()),
    )
}

fn is_kept(answers: u64, connections: u64) -> bool {
    connections * KEPT <= answers
}

fn between(before: Option<&CpuTime>, after: Option<&CpuTime>) -> Option<Duration> {
    Some(after?.since(before?))
}

/// The part of the CPU time since then that the busiest thread took.
fn busiest(begun: &CpuTime, now: &CpuTime) -> f64 {
    now.busiest_since(begun).as_secs_f64() / now.since(begun).as_secs_f64().max(f64::EPSILON)
}

/// What is not known is said to be so.
fn or_unknown(share: Option<f64>) -> String {
    share.map_or_else(|| "?".to_owned(), two_digits)
}

fn two_digits(share: f64) -> String {
    format!("{share:.2}")
}

// === impl Total ===

impl Total {
    /// How many processors it kept at work while it was under load.
    fn at_work(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() / self.under_load.as_secs_f64().max(f64::EPSILON))
    }

    fn note(&mut self, slice: &Slice, cpu: Option<Duration>, to_backends: u64) {
        self.under_load += slice.took;
        self.answers += slice.answers;
        self.connections += slice.connections;
        self.to_backends += to_backends;
        self.cpu = cpu.map(|cpu| self.cpu.unwrap_or_default() + cpu).or(self.cpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(requests: u64, cpu_us: u64) -> Shares {
        let done = |answers, each_us: u64| Done {
            in_time: answers,
            answers,
            cpu: Some(Duration::from_micros(answers * each_us)),
        };
        let mut shares = Shares::default();
        (0..share::LEAST).for_each(|_| shares.note(&done(requests, cpu_us), &done(100, 1000)));
        shares
    }

    fn total() -> Total {
        Total {
            under_load: Duration::from_secs(1),
            answers: 1000,
            cpu: Some(Duration::from_millis(1400)),
            busiest: Some(0.5),
            ..Total::default()
        }
    }

    fn found(shares: &Shares, program: Total, processors: usize) -> Option<&'static str> {
        let found = diagnosed(shares.say(), shares, &[program, total()], processors);
        found.map(|found| found.id)
    }

    #[test]
    fn each_cause_has_its_name() {
        assert_eq!(found(&shares(100, 1000), total(), 2), None);
        assert_eq!(found(&shares(100, 2000), total(), 2), Some("too-much-cpu"));
        assert_eq!(found(&shares(50, 2000), total(), 2), Some("too-much-cpu"));
        let waits = || Total { cpu: Some(Duration::from_millis(700)), ..total() };
        assert_eq!(found(&shares(50, 1000), waits(), 2), Some("waits-under-load"));
        assert_eq!(found(&shares(50, 2000), waits(), 2), Some("waits-under-load"));
        assert_eq!(found(&shares(50, 1000), total(), 2), Some("waits-under-load"));
        let one = || Total { busiest: Some(0.97), ..total() };
        for requests in [50, 100] {
            assert_eq!(found(&shares(requests, 1000), one(), 2), Some("one-thread"));
        }
        assert_eq!(found(&shares(100, 1000), one(), 1), None);
        let closes = Total { connections: 900, ..total() };
        assert_eq!(found(&shares(100, 1000), closes, 2), Some("connections-not-kept"));
        let anew = Total { to_backends: 900, ..total() };
        assert_eq!(found(&shares(100, 1000), anew, 2), Some("backend-connections-not-kept"));
    }

    #[test]
    fn figures_are_shown_beside_their_bars() {
        let shares = shares(50, 1000);
        let found = diagnosed(Said::TooFew, &shares, &[total(), total()], 2).unwrap();
        let text = |name: &str| found.evidence.get(name).unwrap().as_str().unwrap().to_owned();
        assert_eq!(
            text("expected"),
            "at least 0.75 of serve's requests a second, at most 1.50 of its CPU time for each"
        );
        assert_eq!(
            text("actual"),
            "0.50 of serve's requests a second, 1.00 of its CPU time for each"
        );
        assert_eq!(text("at_work"), "1.40");
    }
}
