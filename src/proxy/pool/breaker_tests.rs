use std::collections::HashSet;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// A breaker that may open.
fn breaker(text: &str) -> Breaker {
    among(text, &ejections(1))
}

fn among(text: &str, ejections: &Arc<Ejections>) -> Breaker {
    Breaker::new(&toml::from_str(text).unwrap(), Arc::clone(ejections))
}

fn ejections(most: usize) -> Arc<Ejections> {
    let ejections = Arc::new(Ejections::default());
    ejections.set_most(most);
    ejections
}

fn at(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

fn trial(breaker: &Breaker) -> Passage {
    let passage = breaker.pass().expect("it lets one through");
    assert!(matches!(passage, Passage::Trial(_)), "{passage:?}");
    passage
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not_count() {
    let breaker = breaker("consecutive_failures = 3");
    let now = Instant::now();
    let fail = || breaker.failed(Passage::Free, now);
    assert!(!fail() && !fail());
    breaker.succeeded(Passage::Free);
    assert!(!fail() && !fail());
    assert!(fail(), "the third in a row");
    assert_eq!((breaker.state(), breaker.pass()), (BreakerState::Open, None));
}

#[test]
fn a_share_of_failures_opens_it_once_there_are_enough_requests() {
    let breaker = breaker(
        "consecutive_failures = 1000\nfailure_rate = 0.5\nminimum_requests = 10\nwindow = '10s'",
    );
    let now = Instant::now();
    for turn in 0..4 {
        assert!(!breaker.failed(Passage::Free, now), "{turn}");
        breaker.succeeded(Passage::Free);
    }
    // 4 of 8; the fifth is one of 9, which are too few; then 6 of 10.
    assert!(!breaker.failed(Passage::Free, now));
    assert!(breaker.failed(Passage::Free, now));
}

#[test]
fn what_failed_before_the_window_is_forgotten() {
    let breaker = breaker(
        "consecutive_failures = 1000\nfailure_rate = 0.5\nminimum_requests = 4\nwindow = '10s'",
    );
    let start = Instant::now();
    for second in [0, 1, 2] {
        assert!(!breaker.failed(Passage::Free, at(start, second)));
    }
    assert!(!breaker.failed(Passage::Free, at(start, 11)), "a new window");
    assert!(!breaker.failed(Passage::Free, at(start, 12)));
}

#[test]
fn half_open_lets_one_through_whose_end_decides() {
    let breaker = breaker("consecutive_failures = 1\nopen_for = '10s'");
    let start = Instant::now();
    assert!(breaker.failed(Passage::Free, start));
    assert!(!breaker.half_open(at(start, 9)));
    assert!(breaker.half_open(at(start, 10)));
    let first = trial(&breaker);
    assert_eq!(breaker.pass(), None, "one at a time");
    assert!(breaker.failed(first, at(start, 10)), "though as many are ejected as may be");
    assert_eq!(breaker.half_opens_at(), Some(at(start, 20)));
    assert!(breaker.half_open(at(start, 20)));
    breaker.abandoned(trial(&breaker));
    let last = trial(&breaker);
    assert!(breaker.succeeded(last), "another after one that told nothing");
    assert_eq!((breaker.state(), breaker.pass()), (BreakerState::Closed, Some(Passage::Free)));
}

#[test]
fn one_that_may_not_open_stays_in_use() {
    let now = Instant::now();
    let none = among("consecutive_failures = 1", &ejections(0));
    assert!(!none.failed(Passage::Free, now));
    assert_eq!(none.state(), BreakerState::Closed);
    let off = breaker("enabled = false\nconsecutive_failures = 1");
    assert!(!off.failed(Passage::Free, now));
}

#[test]
fn one_that_closes_or_is_gone_makes_room_for_another() {
    let (text, now) = ("consecutive_failures = 1", Instant::now());
    let one = ejections(1);
    let (a, b, c) = (among(text, &one), among(text, &one), among(text, &one));
    assert!(a.failed(Passage::Free, now));
    assert!(!b.failed(Passage::Free, now));
    assert!(a.reset());
    assert!(b.failed(Passage::Free, now));
    b.retire();
    assert!(!b.failed(Passage::Free, now), "its last requests eject it no more");
    assert!(c.failed(Passage::Free, now));
    drop(c);
    assert!(a.failed(Passage::Free, now));
}

#[test]
fn a_trial_of_an_earlier_time_decides_nothing() {
    let breaker = breaker("consecutive_failures = 2\nopen_for = '1s'");
    let start = Instant::now();
    let open_again = |now| {
        breaker.failed(Passage::Free, now);
        assert!(breaker.failed(Passage::Free, now));
    };
    open_again(start);
    assert!(breaker.half_open(at(start, 1)));
    let old = trial(&breaker);
    // The health check says that it is another server now.
    breaker.reset();
    assert!(!breaker.failed(old, at(start, 2)), "one failure, like any other");
    breaker.reset();
    open_again(at(start, 2));
    assert!(breaker.half_open(at(start, 3)));
    let new = trial(&breaker);
    breaker.abandoned(old);
    assert_eq!(breaker.pass(), None, "the new trial is still under way");
    assert!(!breaker.succeeded(old));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.succeeded(new));
}

#[test]
fn of_many_at_once_one_gets_the_trial() {
    for _ in 0..200 {
        let breaker = breaker("consecutive_failures = 1\nopen_for = '1ms'");
        let start = Instant::now();
        breaker.failed(Passage::Free, start);
        breaker.half_open(at(start, 1));
        let granted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if matches!(breaker.pass(), Some(Passage::Trial(_))) {
                        granted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 1);
    }
}

/// Several threads let requests through breakers, end them this way and that, half
/// open and reset them. No two trials of a time overlap, no more are ejected than
/// may be, and none is counted when all are closed again.
#[test]
fn no_two_trials_overlap_and_no_ejection_is_lost_however_threads_meet() {
    const MOST: usize = 2;
    let shared = ejections(MOST);
    let text = "consecutive_failures = 2\nopen_for = '1ms'\nwindow = '1s'";
    let breakers: Vec<_> = (0..4).map(|_| among(text, &shared)).collect();
    let trials: Vec<_> = breakers.iter().map(|_| Mutex::new(HashSet::new())).collect();
    let seen = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(30);
    let requests = |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        while seen.load(Ordering::Relaxed) < 500 && Instant::now() < end {
            let place = random.random_range(0..breakers.len());
            let breaker = &breakers[place];
            let Some(passage) = breaker.pass() else { continue };
            if let Passage::Trial(word) = passage {
                seen.fetch_add(1, Ordering::Relaxed);
                assert!(trials[place].lock().insert(word.0), "a second trial at once");
                if random.random() {
                    std::thread::yield_now();
                }
                assert!(trials[place].lock().remove(&word.0));
            }
            match random.random_range(0..10) {
                0..4 => drop(breaker.failed(passage, Instant::now())),
                4..9 => drop(breaker.succeeded(passage)),
                _ => breaker.abandoned(passage),
            }
        }
    };
    std::thread::scope(|scope| {
        let requests = &requests;
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || requests(seed))).collect();
        let mut random = StdRng::seed_from_u64(99);
        while threads.iter().any(|thread| !thread.is_finished()) {
            for breaker in &breakers {
                breaker.half_open(Instant::now() + Duration::from_millis(2));
                if random.random_ratio(1, 50) {
                    breaker.reset();
                }
            }
            assert!(shared.now.load(Ordering::Acquire) <= MOST);
            std::thread::yield_now();
        }
    });
    assert!(seen.into_inner() >= 500, "too few trials to say anything");
    let ejected = breakers.iter().filter(|b| b.state() != BreakerState::Closed).count();
    assert_eq!(shared.now.load(Ordering::Acquire), ejected);
    for breaker in &breakers {
        breaker.reset();
    }
    assert_eq!(shared.now.load(Ordering::Acquire), 0);
}

// What follows holds the breaker against one that is written down plainly: it keeps
// all that has happened and counts anew each time.

const CONSECUTIVE: usize = 3;
const MINIMUM: usize = 5;
const WINDOW: u64 = 50;
const OPEN_FOR: u64 = 30;
const RULES: &str = "consecutive_failures = 3\nfailure_rate = 0.6\nminimum_requests = 5\n\
    window = '50ms'\nopen_for = '30ms'";

#[derive(Clone, Debug)]
enum Plain {
    /// Since it closed: when a request ended, and whether well.
    Closed(Vec<(u64, bool)>),
    Open {
        since: u64,
    },
    /// The number of the trial that is under way.
    HalfOpen {
        trial: Option<usize>,
    },
}

impl Plain {
    fn state(&self) -> BreakerState {
        match self {
            Self::Closed(_) => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn should_open(history: &[(u64, bool)]) -> bool {
        let in_a_row = history.iter().rev().take_while(|(_, well)| !well).count();
        let mut window: Option<u64> = None;
        let (mut ended, mut failures) = (0, 0);
        for &(when, well) in history {
            if !well && window.is_none_or(|began| when - began > WINDOW) {
                window = Some(when);
                (ended, failures) = (0, 0);
            }
            ended += 1;
            failures += usize::from(!well);
        }
        in_a_row >= CONSECUTIVE || ended >= MINIMUM && failures * 10 >= ended * 6
    }
}

#[derive(Clone, Debug)]
enum Act {
    Pass(usize),
    /// How the request with this place among those under way ends.
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
    Wait(u64),
    HalfOpen(usize),
    Reset(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let which = || 0usize..3;
    prop_oneof![
        8 => which().prop_map(Act::Pass),
        3 => (0usize..8).prop_map(Act::Succeed),
        5 => (0usize..8).prop_map(Act::Fail),
        1 => (0usize..8).prop_map(Act::Abandon),
        3 => (1u64..60).prop_map(Act::Wait),
        3 => which().prop_map(Act::HalfOpen),
        1 => which().prop_map(Act::Reset),
    ]
}

/// A request under way: at which breaker, what it was given, and its number.
struct Under {
    place: usize,
    passage: Passage,
    number: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_happens_it_is_in_the_state_that_the_plain_one_is_in(
        acts in proptest::collection::vec(act(), 1..120),
        most in 0usize..4,
    ) {
        let start = Instant::now();
        let shared = ejections(most);
        let breakers = [(); 3].map(|()| among(RULES, &shared));
        let mut plain = [(); 3].map(|()| Plain::Closed(Vec::new()));
        let mut under: Vec<Under> = Vec::new();
        let (mut now, mut numbers) = (0u64, 0usize);
        for act in acts {
            let instant = start + Duration::from_millis(now);
            match act {
                Act::Wait(time) => now += time,
                Act::Pass(place) => {
                    let passage = breakers[place].pass();
                    let number = numbers;
                    numbers += 1;
                    let expected = match &mut plain[place] {
                        Plain::Closed(_) => Some(false),
                        Plain::HalfOpen { trial: trial @ None } => {
                            *trial = Some(number);
                            Some(true)
                        }
                        Plain::Open { .. } | Plain::HalfOpen { .. } => None,
                    };
                    prop_assert_eq!(passage.map(|p| p != Passage::Free), expected);
                    under.extend(passage.map(|passage| Under { place, passage, number }));
                }
                Act::Succeed(which) if which < under.len() => {
                    let Under { place, passage, number } = under.swap_remove(which);
                    let closed = breakers[place].succeeded(passage);
                    let plain = &mut plain[place];
                    let expected = match plain {
                        Plain::HalfOpen { trial } if *trial == Some(number) => {
                            *plain = Plain::Closed(Vec::new());
                            true
                        }
                        Plain::Closed(history) => {
                            history.push((now, true));
                            false
                        }
                        _ => false,
                    };
                    prop_assert_eq!(closed, expected);
                }
                Act::Fail(which) if which < under.len() => {
                    let Under { place, passage, number } = under.swap_remove(which);
                    let opened = breakers[place].failed(passage, instant);
                    let ejected = plain.iter().filter(|p| !matches!(p, Plain::Closed(_))).count();
                    let plain = &mut plain[place];
                    let expected = match plain {
                        Plain::HalfOpen { trial } => *trial == Some(number),
                        Plain::Open { .. } => false,
                        Plain::Closed(history) => {
                            history.push((now, false));
                            ejected < most && Plain::should_open(history)
                        }
                    };
                    if expected {
                        *plain = Plain::Open { since: now };
                    }
                    prop_assert_eq!(opened, expected);
                }
                Act::Abandon(which) if which < under.len() => {
                    let Under { place, passage, number } = under.swap_remove(which);
                    breakers[place].abandoned(passage);
                    if let Plain::HalfOpen { trial } = &mut plain[place]
                        && *trial == Some(number)
                    {
                        *trial = None;
                    }
                }
                Act::Succeed(_) | Act::Fail(_) | Act::Abandon(_) => {}
                Act::HalfOpen(place) => {
                    let due = matches!(plain[place], Plain::Open { since } if now >= since + OPEN_FOR);
                    prop_assert_eq!(breakers[place].half_open(instant), due);
                    if due {
                        plain[place] = Plain::HalfOpen { trial: None };
                    }
                }
                Act::Reset(place) => {
                    let was_open = !matches!(plain[place], Plain::Closed(_));
                    prop_assert_eq!(breakers[place].reset(), was_open);
                    plain[place] = Plain::Closed(Vec::new());
                }
            }
            for (breaker, plain) in breakers.iter().zip(&plain) {
                prop_assert_eq!(breaker.state(), plain.state());
                let at = match plain {
                    Plain::Open { since } => Some(start + Duration::from_millis(since + OPEN_FOR)),
                    _ => None,
                };
                prop_assert_eq!(breaker.half_opens_at(), at);
            }
            let ejected = plain.iter().filter(|p| !matches!(p, Plain::Closed(_))).count();
            prop_assert!(ejected <= most);
            prop_assert_eq!(shared.now.load(Ordering::Acquire), ejected);
        }
    }
}
