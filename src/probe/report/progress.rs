//! The bar that moves while a long batch runs.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::plan::Plan;
use super::super::tally::Tally;
use super::words::Words;
use crate::language::Language;

/// A batch that ends sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);

const STEPS: u64 = 1000;

/// Shown on standard error, and only if that is a terminal.
pub(in crate::probe) struct Progress {
    words: &'static Words,
    count: Option<u64>,
    duration: Option<Duration>,
    bar: Option<ProgressBar>,
    wanted: bool,
}

// === impl Progress ===

impl Progress {
    pub(in crate::probe) fn new(plan: &Plan, language: Language) -> Self {
        // A dumb terminal cannot go back to the beginning of a line.
        let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            words: Words::of(language),
            count: plan.count,
            duration: plan.duration,
            bar: None,
            wanted: able && std::io::stderr().is_terminal(),
        }
    }

    pub(in crate::probe) fn show(&mut self, tally: &Tally, elapsed: Duration) {
        if !self.wanted || elapsed < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(new_bar);
        let done = match self.count {
            Some(count) => format!("{}/{count}", tally.sent()),
            None => tally.sent().to_string(),
        };
        let time = match self.duration {
            Some(duration) => format!("{}/{} s", elapsed.as_secs(), duration.as_secs()),
            None => format!("{} s", elapsed.as_secs()),
        };
        bar.set_position(position(self.count, self.duration, tally.sent(), elapsed));
        bar.set_message(self.words.progress(&done, tally.failed, &time));
    }

    /// Leaves the line as it was before.
    pub(in crate::probe) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is valid");
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    bar
}

/// How far the batch is, of [`STEPS`], by whichever limit is nearer.
fn position(count: Option<u64>, duration: Option<Duration>, done: u64, elapsed: Duration) -> u64 {
    let by_count = count.map_or(0, |count| {
        u64::try_from(u128::from(done) * u128::from(STEPS) / u128::from(count)).unwrap_or(STEPS)
    });
    let by_time = duration.map_or(0, |duration| {
        let steps = elapsed.as_nanos() * u128::from(STEPS) / duration.as_nanos();
        u64::try_from(steps).unwrap_or(STEPS)
    });
    by_count.max(by_time).min(STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_and_a_pipe_show_no_bar() {
        let words = Words::of(Language::En);
        let bar = |wanted| Progress { words, count: Some(9), duration: None, bar: None, wanted };
        let mut terminal = bar(true);
        terminal.show(&Tally::default(), PATIENCE - Duration::from_millis(1));
        assert!(terminal.bar.is_none());
        terminal.show(&Tally::default(), PATIENCE);
        assert!(terminal.bar.is_some());
        terminal.clear();
        let mut pipe = bar(false);
        pipe.show(&Tally::default(), PATIENCE * 9);
        assert!(pipe.bar.is_none());
    }

    #[test]
    fn the_nearer_limit_moves_the_bar() {
        let second = Duration::from_secs(1);
        assert_eq!(position(Some(10), None, 5, second), 500);
        assert_eq!(position(None, Some(second * 4), 9, second), 250);
        assert_eq!(position(Some(10), Some(second * 4), 1, second), 250);
        assert_eq!(position(Some(10), Some(second * 4), 9, second), 900);
        assert_eq!(position(None, Some(second), 0, second * 9), STEPS);
    }
}
