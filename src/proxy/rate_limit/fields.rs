//! What clients are told of limits: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10), lists of structured fields (RFC 9651).

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::{PolicyName, RateLimit};

/// The rate, the same in every answer.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of it.
pub const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// `"NAME";q=QUOTA;w=SECONDS`. The window is in whole seconds, so the quota is that of
/// as many.
pub fn policy(name: &PolicyName, written: &RateLimit) -> HeaderValue {
    let window = seconds(written.per.get());
    let quota = u128::from(written.requests.get()) * u128::from(window) * 1_000_000_000
        / written.per.get().as_nanos();
    value(format!("\"{name}\";q={quota};w={window}"))
}

/// `"NAME";r=REQUESTS;t=SECONDS`: how many may follow at once, and in what time the
/// next may (after a refusal) or as many as ever.
pub fn state(name: &PolicyName, left: u64, seconds: u64) -> HeaderValue {
    value(format!("\"{name}\";r={left};t={seconds}"))
}

/// Whole seconds, rounded up: whoever waits for them does not come too early.
pub fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A policy's name holds nothing that a field or a string in one could not.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_in_whole_seconds() {
        let name = PolicyName::try_from("api".to_owned()).unwrap();
        let told = |text: &str| policy(&name, &toml::from_str(text).unwrap());
        assert_eq!(told("requests = 10"), "\"api\";q=10;w=1");
        assert_eq!(told("requests = 600\nper = '1m'"), "\"api\";q=600;w=60");
        assert_eq!(told("requests = 10\nper = '100ms'"), "\"api\";q=100;w=1");
        assert_eq!(told("requests = 3\nper = '1500ms'"), "\"api\";q=4;w=2");
        assert_eq!(state(&name, 0, 3), "\"api\";r=0;t=3");
        assert_eq!([0, 1, 1000, 1001].map(|ms| seconds(Duration::from_millis(ms))), [0, 1, 1, 2]);
    }
}
