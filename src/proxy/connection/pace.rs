//! How fast the other side is, over the time that it is waited for.

use std::time::{Duration, Instant};

use crate::config::{Rate, Span};

/// Time waited for before a least rate counts: a slow start is no slow client.
const GRACE: Duration = Duration::from_secs(10);

/// The bytes that came (or went) and the time waited for them. Time in which
/// nobody waits, since the backend is the slow one, does not count.
#[derive(Debug, Default)]
pub struct Pace {
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// Bytes moved, so the wait is over.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// The moment at which this wait has been too long: by the silence alone, or by
    /// what it does to the rate.
    pub fn deadline(&mut self, silence: Span, least: Rate) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let patience = match least.get() {
            Some(rate) => {
                let earned = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
                silence.get().min((GRACE + earned).saturating_sub(self.waited))
            }
            None => silence.get(),
        };
        since + patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_slow_client_was_waited_for_the_less_is_left() {
        let silence: Span = "30s".parse().unwrap();
        let least: Rate = "500B".parse().unwrap();
        let off: Rate = "off".parse().unwrap();
        let left = |bytes, waited, least| {
            let since = Instant::now();
            let mut pace = Pace { bytes, waited: Duration::from_secs(waited), since: Some(since) };
            (pace.deadline(silence, least) - since).as_secs()
        };
        assert_eq!(left(0, 0, least), 10);
        assert_eq!(left(0, 0, off), 30);
        assert_eq!(left(5000, 0, least), 20);
        assert_eq!(left(5000, 15, least), 5);
        assert_eq!(left(5000, 25, least), 0, "500 bytes a second and ten seconds of grace");
        assert_eq!(left(1 << 30, 25, least), 30, "silence alone counts for a quick client");
    }
}
