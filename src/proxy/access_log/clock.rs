//! The time of day as text, without formatting it each time.

use std::time::{SystemTime, UNIX_EPOCH};

/// As long as `2026-01-31T12:59:59.123Z`.
const LENGTH: usize = 24;

/// UTC to the millisecond (RFC 3339), of which only the milliseconds are written anew
/// while the second is the same.
pub struct Clock {
    second: u64,
    text: [u8; LENGTH],
}

// === impl Clock ===

impl Clock {
    /// A clock that has not been asked yet.
    pub const fn new() -> Self {
        Self { second: u64::MAX, text: [b'0'; LENGTH] }
    }

    /// The time of now.
    pub fn now(&mut self) -> &[u8] {
        // Before 1970 only where the machine's clock is broken.
        self.at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn at(&mut self, since_1970: std::time::Duration) -> &[u8] {
        let second = since_1970.as_secs();
        if second != self.second {
            let second = second.try_into().unwrap_or(i64::MAX);
            let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
            let text = format!("{time:.3}");
            // A year past 9999 has more digits; the clock is broken there too.
            if let Ok(text) = text.as_bytes().try_into() {
                self.text = text;
            }
            self.second = since_1970.as_secs();
        }
        let mut millis = since_1970.subsec_millis();
        for digit in self.text[20..23].iter_mut().rev() {
            *digit = b'0' + (millis % 10) as u8;
            millis /= 10;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_millisecond_is_as_jiff_writes_it() {
        let mut clock = Clock::new();
        for millis in [0, 1, 999, 1000, 1001, 951_782_399_999, 951_782_400_000, 1_764_085_614_123] {
            let text = String::from_utf8(clock.at(Duration::from_millis(millis)).to_vec()).unwrap();
            let time = jiff::Timestamp::from_millisecond(millis.try_into().unwrap()).unwrap();
            assert_eq!(text, format!("{time:.3}"));
        }
        let now = String::from_utf8(clock.now().to_vec()).unwrap();
        let ago = jiff::Timestamp::now().duration_since(now.parse().unwrap());
        assert!(ago.abs() < jiff::SignedDuration::from_secs(5), "{now}");
    }
}
