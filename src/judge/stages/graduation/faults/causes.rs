//! Each request that was not served has a cause of its own, which is what a backend did to it;
//! and none came to more than it may.

use std::collections::HashMap;
use std::time::Duration;

use super::deeds::Deed;
use super::load::{Asked, Told, Wrong};
use super::site::{Kill, Phase, Site};
use crate::backends::recording::Log;
use crate::judge::client::{Cut, Trouble};
use crate::judge::stage::Outcome;

/// For how long a connection that a backend has closed may still be taken for one that is open.
const UNSEEN: Duration = Duration::from_secs(2);

/// What can be wrong with a request, the worst first: where more than one thing is wrong with
/// requests of one phase, this one is told.
pub const IDS: &[&str] = &[
    "effect-twice",
    "foreign-answer",
    "tried-again-inside-answer",
    "cut-passes-for-whole",
    "upload-garbled",
    "answer-garbled",
    "status-misfits",
    "abort-blamed-on-backend",
    "bad-client-costs-others",
    "reload-costs-requests",
    "refusal-reaches-client",
    "fails-without-cause",
    "request-hangs",
];

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    id: &'static str,
    expected: String,
    timed: bool,
}

/// What is known of a request besides what its client was told.
#[derive(Debug, Default)]
struct Known {
    /// Of each time that it came to a backend, whether it came whole.
    receipts: Vec<bool>,
    /// What the backends did.
    deeds: Vec<Deed>,
    /// Whether a backend closed connections meanwhile.
    killed: bool,
    /// Whether one closed them just before, so that one might be taken that was closed.
    stale: bool,
    /// Whether so much time went by that a limit may have been reached, though the backend
    /// answered at once: that is the machine's doing.
    slow: bool,
}

impl Site<'_> {
    /// All requests up to now were served, or were not for a cause.
    ///
    /// # Errors
    ///
    /// The first that was not; of those of one phase the worst.
    pub async fn causes(&self) -> Outcome {
        let asked = self.asked.lock().clone();
        let receipts = self.scene.recorder.read(receipts);
        let kills = self.kills.lock().clone();
        let wrong = asked.iter().filter_map(|asked| {
            let known = Known {
                receipts: receipts.get(&asked.target).cloned().unwrap_or_default(),
                deeds: self.ledger.deeds(&asked.target),
                killed: kills.iter().any(|kill| within(asked, kill, Duration::ZERO)),
                stale: kills.iter().any(|kill| within(asked, kill, UNSEEN)),
                slow: asked.done - asked.sent >= self.pools.read,
            };
            Some((asked, fault(asked, &known)?, known))
        });
        let badness = |id: &str| IDS.iter().position(|other| *other == id);
        let worst = wrong.min_by_key(|(asked, fault, _)| (asked.phase.0, badness(fault.id)));
        let Some((asked, fault, known)) = worst else { return Ok(()) };
        if let Told::Trouble(trouble @ (Trouble::Refused | Trouble::Connect(_))) = &asked.told {
            let request = self.running.request(&asked.method, &asked.target);
            return Err(self.running.trouble(trouble, &request).await);
        }
        if let Some(ended) = self.running.ended().await {
            return Err(ended);
        }
        let actual = in_words(&asked.told);
        let found = self
            .found(fault.id)
            .compared(fault.expected, &actual)
            .with("request", format!("{} {}", asked.method, asked.target))
            .with("seen", actual)
            .with("times", known.receipts.len())
            .with("deeds", deeds_in_words(&known.deeds))
            .with("during", asked.phase.1.words())
            .with("output", self.running.last_lines());
        Err(if fault.timed { found.timed().fail() } else { found.fail() })
    }
}

/// Of each request how often it came to a backend, and whether whole.
fn receipts(log: &Log) -> HashMap<String, Vec<bool>> {
    let mut receipts = HashMap::<_, Vec<_>>::new();
    for one in log.requests() {
        receipts.entry(one.target.clone()).or_default().push(one.complete);
    }
    receipts
}

/// Whether a request was under way at a kill, or sent so soon after it.
fn within(asked: &Asked, kill: &Kill, after: Duration) -> bool {
    asked.done >= kill.start && asked.sent <= kill.end + after
}

/// What is wrong, if anything is.
fn fault(asked: &Asked, known: &Known) -> Option<Fault> {
    let fault =
        |id, expected: &str| Some(Fault { id, expected: expected.to_owned(), timed: false });
    let late = |id, expected: &str| Some(Fault { id, expected: expected.to_owned(), timed: true });
    // Once a backend has all of it, it may have had its effect.
    let again = known.receipts.iter().position(|whole| *whole);
    if asked.method == "POST" && again.is_some_and(|first| first + 1 < known.receipts.len()) {
        return fault("effect-twice", "at one backend, once");
    }
    // A try that came behind a cut in a body, of which the client has a part.
    let cut = known.deeds.iter().position(|deed| *deed == Deed::Cut);
    let behind_cut = cut.is_some_and(|at| at + 1 < known.deeds.len());
    let last = known.deeds.last().copied();
    let without_cause = match asked.phase.1 {
        Phase::BadClients => "bad-client-costs-others",
        Phase::Reloads => "reload-costs-requests",
        // Of a backend that is blamed, or refuses, a request has nothing.
        Phase::Trial if last.is_none() => "abort-blamed-on-backend",
        Phase::Killed | Phase::Flapping if last.is_none() => "refusal-reaches-client",
        _ => "fails-without-cause",
    };
    match &asked.told {
        Told::Right => None,
        Told::Wrong(_) if behind_cut => {
            fault("tried-again-inside-answer", "an answer that is cut, and no other try")
        }
        Told::Wrong(Wrong::Foreign) => fault("foreign-answer", "the answer to this request"),
        Told::Wrong(Wrong::Beginning(..)) => {
            fault("cut-passes-for-whole", "a cut that can be seen")
        }
        Told::Wrong(Wrong::Upload) => fault("upload-garbled", "the body as it was sent"),
        Told::Wrong(Wrong::Other) => fault("answer-garbled", "the answer as it was sent"),
        Told::Trouble(Trouble::Incomplete { because: Cut::PatienceOver(_), .. })
        | Told::Trouble(Trouble::NoAnswer { .. } | Trouble::ConnectTimedOut { .. }) => {
            late("request-hangs", "an answer, or an end")
        }
        Told::Trouble(Trouble::Incomplete { status: Some(200), .. }) => match last {
            _ if behind_cut => {
                fault("tried-again-inside-answer", "an answer that is cut, and no other try")
            }
            Some(Deed::Cut) => None,
            Some(Deed::Served) if known.killed => None,
            _ => fault(without_cause, "200"),
        },
        // A connection that was kept may be closed at any time.
        Told::Trouble(Trouble::EmptyReply | Trouble::Reset)
            if asked.used && known.receipts.is_empty() =>
        {
            None
        }
        Told::Trouble(_) => match last {
            Some(Deed::Hung) => fault("status-misfits", "504"),
            Some(Deed::Broken | Deed::Cut) => fault("status-misfits", "502"),
            _ => fault(without_cause, "200"),
        },
        Told::Status(status) => match (last, status) {
            (Some(Deed::Hung), 504) | (Some(Deed::Broken | Deed::Cut), 502) => None,
            (Some(Deed::Ill), 500) => None,
            // Its connection was closed under it.
            (Some(Deed::Served | Deed::Hung), 502) if known.killed => None,
            (None, 502) if known.killed || known.stale => None,
            (Some(Deed::Hung), _) => fault("status-misfits", "504"),
            (Some(Deed::Broken | Deed::Cut), _) => fault("status-misfits", "502"),
            (Some(Deed::Ill), _) => fault("status-misfits", "500"),
            (Some(Deed::Served), 504) if known.slow => None,
            // Our own client, or our backend, stood still in the middle of its body.
            (None, 504) if known.slow && known.receipts.last() == Some(&false) => None,
            _ => fault(without_cause, "200"),
        },
    }
}

fn in_words(told: &Told) -> String {
    match told {
        Told::Right => "its answer".to_owned(),
        Told::Wrong(Wrong::Foreign) => "the answer to another request".to_owned(),
        Told::Wrong(Wrong::Beginning(bytes, of)) => {
            format!("{bytes} of {of} bytes of its answer, and the end of an answer")
        }
        Told::Wrong(Wrong::Upload) => "the answer to another body than was sent".to_owned(),
        Told::Wrong(Wrong::Other) => "an answer that no backend gave".to_owned(),
        Told::Status(status) => format!("status {status}"),
        Told::Trouble(trouble) => trouble.to_string(),
    }
}

fn deeds_in_words(deeds: &[Deed]) -> String {
    let word = |deed: &Deed| match deed {
        Deed::Served => "answered",
        Deed::Hung => "did not answer",
        Deed::Broken => "broke off before the head was whole",
        Deed::Cut => "broke off in the body",
        Deed::Ill => "answered 500",
    };
    match deeds {
        [] => "no backend had it whole".to_owned(),
        deeds => deeds.iter().map(word).collect::<Vec<_>>().join(", then one "),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::judge::client::Missing;

    fn asked(method: &str, phase: Phase, told: Told) -> Asked {
        let now = Instant::now();
        let (method, target) = (method.to_owned(), "/anything/a".to_owned());
        Asked { method, target, used: false, sent: now, done: now, phase: (1, phase), told }
    }

    fn judged(phase: Phase, told: Told, deeds: &[Deed], stale: bool) -> Option<&'static str> {
        let (receipts, deeds) = (vec![true; deeds.len()], deeds.to_vec());
        let known = Known { receipts, deeds, stale, ..Known::default() };
        fault(&asked("GET", phase, told), &known).map(|fault| fault.id)
    }

    fn cut() -> Told {
        let missing = Missing::BodyOfUnknownLength { bytes: 3 };
        let arrived = bytes::Bytes::from_static(b"abc");
        let (because, status) = (Cut::Closed, Some(200));
        Told::Trouble(Trouble::Incomplete { missing, because, status, arrived })
    }

    #[test]
    fn what_a_backend_did_is_a_cause() {
        let judged = |told, deeds: &[Deed]| judged(Phase::Storm, told, deeds, false);
        assert_eq!(judged(Told::Right, &[Deed::Broken, Deed::Served]), None);
        assert_eq!(judged(Told::Status(504), &[Deed::Hung]), None);
        assert_eq!(judged(Told::Status(502), &[Deed::Hung]), Some("status-misfits"));
        assert_eq!(judged(Told::Status(502), &[Deed::Broken]), None);
        assert_eq!(judged(Told::Status(503), &[Deed::Broken]), Some("status-misfits"));
        assert_eq!(judged(Told::Status(504), &[Deed::Broken, Deed::Hung]), None);
        assert_eq!(judged(Told::Status(500), &[Deed::Ill]), None);
        assert_eq!(judged(cut(), &[Deed::Cut]), None);
        assert_eq!(judged(cut(), &[Deed::Served]), Some("fails-without-cause"));
        assert_eq!(judged(cut(), &[Deed::Cut, Deed::Cut]), Some("tried-again-inside-answer"));
        let other = Told::Wrong(Wrong::Other);
        assert_eq!(
            judged(other.clone(), &[Deed::Cut, Deed::Served]),
            Some("tried-again-inside-answer")
        );
        assert_eq!(judged(other, &[Deed::Served]), Some("answer-garbled"));
    }

    #[test]
    fn a_refused_connection_is_no_cause_and_a_closed_one_is() {
        let judged = |status, killed| judged(Phase::Killed, Told::Status(status), &[], killed);
        assert_eq!(judged(502, true), None);
        assert_eq!(judged(502, false), Some("refusal-reaches-client"));
        assert_eq!(judged(503, true), Some("refusal-reaches-client"));
        // Whoever has the request was not closed before it came.
        for deed in [Deed::Hung, Deed::Served] {
            let judged = |known| fault(&asked("GET", Phase::Killed, Told::Status(502)), &known);
            let known =
                |killed| Known { deeds: vec![deed], killed, stale: true, ..Known::default() };
            assert_eq!(judged(known(true)), None);
            assert!(judged(known(false)).is_some());
        }
    }

    #[test]
    fn whoever_was_served_by_a_backend_was_not_kept_from_all() {
        for (phase, kept_from_all) in [
            (Phase::Trial, "abort-blamed-on-backend"),
            (Phase::Killed, "refusal-reaches-client"),
            (Phase::Flapping, "refusal-reaches-client"),
        ] {
            let judged = |deeds: &[Deed]| judged(phase, Told::Status(503), deeds, false);
            assert_eq!(judged(&[]), Some(kept_from_all), "{phase:?}");
            assert_eq!(judged(&[Deed::Served]), Some("fails-without-cause"), "{phase:?}");
        }
    }

    #[test]
    fn a_kill_is_felt_by_what_is_under_way_and_for_a_while() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let kill = Kill { start, end: start + second };
        let felt = |sent, done, after| {
            let asked = asked("GET", Phase::Killed, Told::Status(502));
            within(&Asked { sent, done, ..asked }, &kill, after)
        };
        assert!(felt(start, start, Duration::ZERO));
        assert!(felt(start + second, start + 9 * second, Duration::ZERO));
        assert!(!felt(start - 2 * second, start - second, Duration::ZERO));
        assert!(!felt(start + 2 * second, start + 9 * second, Duration::ZERO));
        assert!(felt(start + 2 * second, start + 9 * second, UNSEEN));
        assert!(!felt(start + 4 * second, start + 9 * second, UNSEEN));
    }

    #[test]
    fn an_effect_is_had_once() {
        let post = |receipts: &[bool]| {
            let known = Known { receipts: receipts.to_vec(), ..Known::default() };
            fault(&asked("POST", Phase::Storm, Told::Right), &known).map(|fault| fault.id)
        };
        assert_eq!(post(&[true]), None);
        // What did not come whole had none.
        assert_eq!(post(&[false, true]), None);
        assert_eq!(post(&[true, true]), Some("effect-twice"));
        assert_eq!(post(&[true, false]), Some("effect-twice"));
    }
}
