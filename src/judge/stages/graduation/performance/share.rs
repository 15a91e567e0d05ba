//! What a program does and takes, as a share of what `serve` does and takes beside it.
//!
//! Each round both are under load for equal times, in an order in which what changes evenly
//! meanwhile weighs the same on both. What is judged is the median of the rounds' shares; there
//! are more rounds as long as these do not say clearly on which side of a bar they lie.

use std::time::Duration;

use super::load::Slice;

/// Of the requests that `serve` answers in the same time, at least so many.
pub const REQUESTS: f64 = 0.75;

/// Of the CPU time that `serve` takes for each request, at most so much.
pub const CPU: f64 = 1.5;

/// Before so many rounds nothing is said.
pub const LEAST: usize = 5;

/// After so many, what there is has to do.
pub const MOST: usize = 11;

/// A median that is nearer to a bar than this, of rounds that do not agree, says nothing.
const NEAR: f64 = 0.06;

/// What one of the two has done and taken in a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Answers that came in time.
    pub in_time: u64,
    /// All answers.
    pub answers: u64,
    /// None where the system does not say it.
    pub cpu: Option<Duration>,
}

/// The shares of each round so far.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    rounds: usize,
    requests: Vec<f64>,
    cpu: Vec<f64>,
}

/// What is said of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It does and takes its share.
    Passed,
    /// It answers too few requests, whatever it takes for them.
    TooFew,
    /// It answers as many as it should, and takes too much CPU time for each.
    TooMuchCpu,
    /// The rounds do not agree yet.
    Unclear,
}

/// Where shares lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Above,
    Below,
    Unclear,
}

// === impl Done ===

impl Done {
    /// Takes in a while under load, and the CPU time that it took.
    pub fn note(&mut self, slice: &Slice, cpu: Option<Duration>) {
        self.in_time += slice.in_time;
        self.answers += slice.answers;
        self.cpu = cpu.map(|cpu| self.cpu.unwrap_or_default() + cpu);
    }
}

// === impl Shares ===

impl Shares {
    /// Who comes when in the next round: the program is 0, `serve` is 1.
    pub fn order(&self) -> [usize; 4] {
        if self.rounds.is_multiple_of(2) { [0, 1, 1, 0] } else { [1, 0, 0, 1] }
    }

    /// How many rounds there were.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// Whether there are no more.
    pub fn is_last(&self) -> bool {
        self.rounds >= MOST
    }

    /// Takes in a round; one in which `serve` has done nothing says nothing.
    pub fn note(&mut self, program: &Done, serve: &Done) {
        self.rounds += 1;
        if serve.in_time > 0 {
            self.requests.push(number(program.in_time) / number(serve.in_time));
        }
        let each = |done: &Done| Some(done.cpu?.as_secs_f64() / number(done.answers));
        let share = each(program).zip(each(serve)).map(|(program, serve)| program / serve);
        self.cpu.extend(share.filter(|share| share.is_finite()));
    }

    /// The program's requests for each of `serve`'s.
    pub fn requests(&self) -> f64 {
        median(&self.requests)
    }

    /// The program's CPU time for each request, for that of `serve`; none where the system
    /// does not say it.
    pub fn cpu(&self) -> Option<f64> {
        (!self.cpu.is_empty()).then(|| median(&self.cpu))
    }

    /// What can be said after these rounds.
    pub fn say(&self) -> Said {
        let last = self.is_last();
        let requests = side(&self.requests, REQUESTS, last);
        let cpu = if self.cpu.is_empty() { Side::Below } else { side(&self.cpu, CPU, last) };
        match (requests, cpu) {
            (Side::Below, _) => Said::TooFew,
            (_, Side::Above) => Said::TooMuchCpu,
            (Side::Above, Side::Below) => Said::Passed,
            _ => Said::Unclear,
        }
    }
}

/// On which side of the bar three quarters of the shares lie; at the end, the median, unless
/// it lies too near.
fn side(shares: &[f64], bar: f64, last: bool) -> Side {
    let shares = sorted(shares);
    if shares.len() < LEAST {
        return Side::Unclear;
    }
    let quarter = shares.len() / 4;
    if shares[quarter] > bar {
        return Side::Above;
    }
    if shares[shares.len() - 1 - quarter] < bar {
        return Side::Below;
    }
    let middle = median(&shares);
    match last && (middle / bar - 1.0).abs() > NEAR {
        true if middle > bar => Side::Above,
        true => Side::Below,
        false => Side::Unclear,
    }
}

fn sorted(shares: &[f64]) -> Vec<f64> {
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(shares: &[f64]) -> f64 {
    sorted(shares).get(shares.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a second or two")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds in which `serve` answers 100 requests with 1 ms of CPU each.
    fn shares(rounds: &[(u64, u64)]) -> Shares {
        let done = |answers, each_us: u64| Done {
            in_time: answers,
            answers,
            cpu: Some(Duration::from_micros(answers * each_us)),
        };
        let mut shares = Shares::default();
        for &(answers, each_us) in rounds {
            shares.note(&done(answers, each_us), &done(100, 1000));
        }
        shares
    }

    fn of(answers: &[u64]) -> Vec<(u64, u64)> {
        answers.iter().map(|&answers| (answers, 1000)).collect()
    }

    #[test]
    fn shares_are_of_the_same_round() {
        let shares = shares(&[(90, 900), (110, 1100), (100, 1000)]);
        assert!((shares.requests() - 1.0).abs() < 1e-9, "{shares:?}");
        assert!((shares.cpu().unwrap() - 1.0).abs() < 1e-9, "{shares:?}");
    }

    #[test]
    fn what_is_clear_is_said() {
        for (round, said) in [
            ((100, 1000), Said::Passed),
            ((60, 1000), Said::TooFew),
            ((60, 2000), Said::TooFew),
            ((100, 2000), Said::TooMuchCpu),
        ] {
            assert_eq!(shares(&[round; LEAST]).say(), said, "{round:?}");
            assert_eq!(shares(&[round; LEAST - 1]).say(), Said::Unclear, "{round:?}");
        }
    }

    #[test]
    fn one_round_that_went_wrong_says_nothing() {
        let mut rounds = [(100, 1000); LEAST];
        rounds[2] = (20, 5000);
        assert_eq!(shares(&rounds).say(), Said::Passed);
    }

    #[test]
    fn rounds_that_do_not_agree_are_decided_at_the_end_if_the_middle_is_far_from_the_bar() {
        let mut rounds = [[50; 5], [100; 5]].concat();
        assert_eq!(shares(&of(&rounds)).say(), Said::Unclear);
        rounds.push(100);
        assert_eq!((rounds.len(), shares(&of(&rounds)).say()), (MOST, Said::Passed));
        rounds[MOST - 1] = 76;
        assert_eq!(shares(&of(&rounds)).say(), Said::Unclear);
    }

    #[test]
    fn where_no_cpu_time_is_known_requests_alone_count() {
        let done = Done { in_time: 10, answers: 10, cpu: None };
        let mut shares = Shares::default();
        (0..LEAST).for_each(|_| shares.note(&done, &done));
        assert_eq!((shares.cpu(), shares.say()), (None, Said::Passed));
    }
}
