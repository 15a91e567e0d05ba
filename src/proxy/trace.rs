//! The trace that a request belongs to (W3C Trace Context).
//!
//! The proxy makes no spans, so it is no participant of a trace: a valid `traceparent`
//! goes on as it came, with its `tracestate`. To put an id of our own into it would
//! leave the backend's span under a parent that nobody has recorded. Only where there is
//! none that is valid a trace is begun, so that the access log and the backends share
//! an id; what a client said of another trace in `tracestate` is removed then (section
//! 3.3.1 of the recommendation).

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;

use super::census::Census;
use super::fields;
use crate::config;

/// The field that names the trace.
const PARENT: HeaderName = HeaderName::from_static("traceparent");

/// What vendors say of it.
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-`, 32 digits of the trace's id, `-`, 16 digits of its parent's, `-`, 2 of flags.
const LENGTH: usize = 55;

/// Whether and how traces are begun.
#[derive(Clone, Copy, Debug)]
pub struct Traces {
    begin: bool,
    sampled: bool,
}

/// The trace of one request.
#[derive(Clone, Debug)]
pub struct Trace {
    parent: HeaderValue,
    begun: bool,
}

// === impl Traces ===

impl Traces {
    /// Prepares the configuration.
    pub fn new(config: &config::Trace) -> Self {
        Self { begin: config.begin, sampled: config.sampled }
    }

    /// The trace that a request with these fields belongs to; `None` if it belongs to
    /// none and none is begun.
    pub fn of(self, headers: &HeaderMap, census: Census) -> Option<Trace> {
        if census.trace_parent {
            let mut sent = headers.get_all(PARENT).iter();
            if let (Some(parent), None) = (sent.next(), sent.next())
                && is_valid(parent.as_bytes())
            {
                return Some(Trace { parent: parent.clone(), begun: false });
            }
        }
        self.begin.then(|| Trace { parent: new(self.sampled), begun: true })
    }
}

// === impl Trace ===

impl Trace {
    /// The trace's id: 32 hexadecimal digits.
    pub fn id(&self) -> &[u8] {
        &self.parent.as_bytes()[3..35]
    }

    /// Has a request to a backend, of which these are the fields and this is the census,
    /// say which trace it belongs to, if it does not do so.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    pub fn apply(&self, fields: &mut HeaderMap, census: Census) -> Result<()> {
        if self.begun {
            if census.trace_state {
                fields.remove(STATE);
            }
            fields::set(fields, PARENT, self.parent.clone())?;
        }
        Ok(())
    }
}

/// A version that is known (00), or a later one, which may go on after the same fields
/// (section 3.2.4).
fn is_valid(parent: &[u8]) -> bool {
    let Some((known, rest)) = parent.split_at_checked(LENGTH) else { return false };
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &[u8]| hex(part) && part.iter().any(|b| *b != b'0');
    let (version, trace, span, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let dashes = [known[2], known[35], known[52]] == [b'-'; 3];
    let ends = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => matches!(rest.first(), None | Some(b'-')),
    };
    dashes && ends && hex(version) && id(trace) && id(span) && hex(flags)
}

fn new(sampled: bool) -> HeaderValue {
    let random: [u8; 24] = rand::random();
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let (trace, span) = random.split_at(16);
    hex(&mut text[3..35], trace);
    hex(&mut text[36..52], span);
    if sampled {
        text[LENGTH - 1] = b'1';
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
}

fn hex(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// Each byte as two digits.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traces(begin: bool) -> Traces {
        Traces::new(&config::Trace { begin, sampled: false })
    }

    fn headers(parents: &[&str]) -> HeaderMap {
        let fields = parents.iter().map(|parent| (PARENT, HeaderValue::from_str(parent).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }

    fn of(traces: Traces, headers: &HeaderMap) -> Option<Trace> {
        traces.of(headers, Census::of(headers))
    }

    #[test]
    fn the_grammar_is_that_of_the_recommendation() {
        for valid in [
            VALID,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert!(is_valid(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0G",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-010",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-001",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_valid(invalid.as_bytes()), "{invalid}");
        }
    }

    #[test]
    fn a_valid_trace_goes_on_as_it_came() {
        for begin in [true, false] {
            let trace = of(traces(begin), &headers(&[VALID])).unwrap();
            assert_eq!(trace.id(), b"4bf92f3577b34da6a3ce929d0e0e4736");
            let mut fields = HeaderMap::new();
            fields.insert(PARENT, HeaderValue::from_static(VALID));
            fields.insert(STATE, HeaderValue::from_static("congo=t61rcWkgMzE"));
            let census = Census::of(&fields);
            trace.apply(&mut fields, census).unwrap();
            assert_eq!(fields[PARENT], VALID);
            assert_eq!(fields[STATE], "congo=t61rcWkgMzE");
        }
    }

    #[test]
    fn another_is_begun_where_there_is_none() {
        let other = VALID.replace('4', "5");
        for parents in [&[][..], &["nonsense"], &[VALID, &other]] {
            assert!(of(traces(false), &headers(parents)).is_none());
            let trace = of(traces(true), &headers(parents)).unwrap();
            let mut fields = HeaderMap::new();
            for parent in parents {
                fields.append(PARENT, HeaderValue::from_str(parent).unwrap());
            }
            fields.insert(STATE, HeaderValue::from_static("congo=t61rcWkgMzE"));
            let census = Census::of(&fields);
            trace.apply(&mut fields, census).unwrap();
            let sent: Vec<_> = fields.get_all(PARENT).iter().collect();
            assert_eq!(sent, [&trace.parent]);
            assert!(is_valid(trace.parent.as_bytes()) && trace.parent.as_bytes().ends_with(b"-00"));
            assert!(!fields.contains_key(STATE));
            assert_ne!(trace.id(), of(traces(true), &headers(parents)).unwrap().id());
        }
        let sampled = Traces::new(&config::Trace { begin: true, sampled: true });
        assert!(of(sampled, &headers(&[])).unwrap().parent.as_bytes().ends_with(b"-01"));
    }
}
