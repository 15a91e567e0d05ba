//! Whether the machine had time for what is judged: what others take from it, the program pays
//! for by chance.

use std::time::{Duration, Instant};

use crate::judge::program::own_cpu;

/// Others are at work where they take this part of a processor, and hold somebody up where no
/// more than that is left.
const PART: f64 = 0.25;

/// What the processors have done up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    at: Instant,
    /// All of them together.
    busy: Duration,
    idle: Duration,
    /// Of this, what the judge has taken itself.
    judge: Duration,
}

// === impl Machine ===

impl Machine {
    /// Now; none where the system does not say it.
    pub fn now() -> Option<Self> {
        let (busy, idle) = ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        let a_second = rustix::param::clock_ticks_per_second().max(1);
        let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000) / a_second);
        let (busy, idle) = (time(busy), time(idle));
        Some(Self { at: Instant::now(), busy, idle, judge: own_cpu()? })
    }

    /// Whether since this moment others than the judge and what it judges, which has taken so
    /// much, have left too little.
    pub fn was_short(&self, now: &Self, judged: Duration) -> bool {
        let wall = (now.at - self.at).as_secs_f64();
        let ours = (now.judge.saturating_sub(self.judge) + judged).as_secs_f64();
        let busy = now.busy.saturating_sub(self.busy).as_secs_f64();
        let idle = now.idle.saturating_sub(self.idle).as_secs_f64();
        busy - ours > wall * PART && idle < wall * PART
    }
}

/// Of all processors, in ticks: busy and idle.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let all: Vec<u64> = line.split_whitespace().map_while(|part| part.parse().ok()).collect();
    let idle = all.get(3)? + all.get(4).copied().unwrap_or_default();
    // Behind the first eight come guests, which are in the first two already.
    Some((all.iter().take(8).sum::<u64>().saturating_sub(idle), idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_all_processors_is_read() {
        let stat = "cpu  100 5 20 700 30 1 2 3 50 0\ncpu0 1 2 3 4\n";
        assert_eq!(ticks(stat), Some((131, 730)));
        assert_eq!(ticks("intr 5"), None);
    }

    #[test]
    fn it_is_short_where_others_take_what_is_left() {
        let at = Instant::now();
        let machine = |seconds: u64, busy: u64, idle: u64, judge: u64| Machine {
            at: at + Duration::from_secs(seconds),
            busy: Duration::from_secs(busy),
            idle: Duration::from_secs(idle),
            judge: Duration::from_secs(judge),
        };
        let before = machine(0, 100, 100, 10);
        let short = |busy: u64, idle: u64| {
            before.was_short(&machine(10, 100 + busy, 100 + idle, 15), Duration::from_secs(10))
        };
        // Of twenty seconds of two processors the judge had five and what it judges ten.
        assert!(!short(15, 5), "nobody else is there");
        assert!(short(20, 0), "somebody has had the rest");
        assert!(!short(35, 5), "on a larger machine there is room for others");
    }
}
