//! How long nothing could go on because of the disk. A program whose pages have to be read in
//! again stands still as on a machine that does, while whoever watches it does not.

use std::time::Duration;

/// Since the machine began, the time in which whoever had something to do waited for the disk:
/// Linux's pressure stall information (`Documentation/accounting/psi.rst`). Zero where the system
/// does not keep it.
pub fn waited_for() -> Duration {
    let said = std::fs::read_to_string("/proc/pressure/io").ok();
    said.as_deref().and_then(full).unwrap_or_default()
}

fn full(pressure: &str) -> Option<Duration> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("full "))?;
    let total = line.split_whitespace().find_map(|part| part.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_which_all_waited_is_read() {
        let pressure = "some avg10=0.00 avg60=0.10 avg300=0.02 total=162394152\n\
                        full avg10=0.00 avg60=0.00 avg300=0.01 total=68162071\n";
        assert_eq!(full(pressure), Some(Duration::from_micros(68_162_071)));
        assert_eq!(full("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"), None);
        assert_eq!(full(""), None);
        assert!(waited_for() <= waited_for());
    }
}
