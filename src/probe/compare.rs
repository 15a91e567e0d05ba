//! What changed between two lists of headers.

use serde::Serialize;

/// One header: a lower-case name and a value.
///
/// Bytes of a value that are not UTF-8 (RFC 9110, section 5.5 allows them)
/// stand as U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A header whose value is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedHeader {
    /// The name, in lower case.
    pub name: String,
    /// The value before the proxy.
    pub from: String,
    /// The value behind it.
    pub to: String,
}

/// What a proxy did to a list of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Headers that were not there before.
    pub added: Vec<Header>,
    /// Headers that were there before, with the value they had.
    pub removed: Vec<Header>,
    /// Headers there before and after, with another value.
    pub changed: Vec<ChangedHeader>,
}

// === impl Header ===

impl Header {
    /// A header with its name in lower case.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_ascii_lowercase(), value: value.into() }
    }

    /// The headers of a message, in their order within each name.
    pub(super) fn list(headers: &http::HeaderMap) -> Vec<Self> {
        headers
            .iter()
            .map(|(name, value)| {
                Self::new(name.as_str(), String::from_utf8_lossy(value.as_bytes()))
            })
            .collect()
    }

    /// Whether this belongs to the lab's own instrumentation, which is never
    /// reported as the proxy's doing.
    fn is_instrumentation(&self) -> bool {
        self.name == super::observe::ASK || self.name.starts_with("x-lab-observed-")
    }
}

// === impl Difference ===

impl Difference {
    /// Compares two lists as multisets: the order of different names means
    /// nothing, and a header that is there twice counts twice.
    ///
    /// Of one name, values that are on both sides cancel out. What is left is
    /// paired in order as changes; what then has no partner was added or
    /// removed.
    pub fn between(before: &[Header], after: &[Header]) -> Self {
        let mut difference = Self::default();
        for name in names(before, after) {
            let mut gone = values(before, name);
            let mut new = values(after, name);
            gone.retain(|value| {
                let same = new.iter().position(|other| other == value);
                same.map(|at| new.remove(at)).is_none()
            });
            difference.record(name, gone, new);
        }
        difference
    }

    /// The same where values vary from one message to the next for reasons of
    /// the backend's own (`date`, a request id): of the names that `varies`
    /// accepts, only how often each is there is compared.
    pub fn between_except(
        before: &[Header],
        after: &[Header],
        varies: impl Fn(&str) -> bool,
    ) -> Self {
        let mut difference = Self::between(before, after);
        difference.changed.retain(|change| !varies(&change.name));
        difference
    }

    fn record(&mut self, name: &str, gone: Vec<&str>, new: Vec<&str>) {
        let pairs = gone.len().min(new.len());
        for (from, to) in gone.iter().zip(&new) {
            self.changed.push(ChangedHeader {
                name: name.to_owned(),
                from: (*from).to_owned(),
                to: (*to).to_owned(),
            });
        }
        self.removed.extend(gone[pairs..].iter().map(|value| Header::new(name, *value)));
        self.added.extend(new[pairs..].iter().map(|value| Header::new(name, *value)));
    }
}

/// Each name once: first those of `before` in its order, then the new ones.
fn names<'a>(before: &'a [Header], after: &'a [Header]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for header in before.iter().chain(after) {
        if !header.is_instrumentation() && !names.contains(&header.name.as_str()) {
            names.push(&header.name);
        }
    }
    names
}

fn values<'a>(headers: &'a [Header], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|header| header.name == name)
        .map(|header| header.value.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(headers: &[(&str, &str)]) -> Vec<Header> {
        headers.iter().map(|(name, value)| Header::new(name, *value)).collect()
    }

    fn change(name: &str, from: &str, to: &str) -> ChangedHeader {
        ChangedHeader { name: name.into(), from: from.into(), to: to.into() }
    }

    #[test]
    fn the_same_in_another_order_and_case_is_no_difference() {
        let before = list(&[("Host", "a"), ("accept", "*/*"), ("x", "1"), ("x", "2")]);
        let after = list(&[("x", "2"), ("ACCEPT", "*/*"), ("x", "1"), ("host", "a")]);
        assert_eq!(Difference::between(&before, &after), Difference::default());
    }

    #[test]
    fn added_removed_and_changed_are_told_apart() {
        let before = list(&[("host", "a"), ("server", "lab"), ("date", "now")]);
        let after = list(&[("host", "b"), ("date", "now"), ("via", "1.1 p")]);
        assert_eq!(
            Difference::between(&before, &after),
            Difference {
                added: list(&[("via", "1.1 p")]),
                removed: list(&[("server", "lab")]),
                changed: vec![change("host", "a", "b")],
            }
        );
    }

    #[test]
    fn duplicates_count() {
        let one = list(&[("set-cookie", "a=1")]);
        let two = list(&[("set-cookie", "a=1"), ("set-cookie", "a=1")]);
        assert_eq!(Difference::between(&one, &two).added, one);
        assert_eq!(Difference::between(&two, &one).removed, one);
    }

    #[test]
    fn a_value_that_stayed_is_not_part_of_a_change() {
        let before = list(&[("x", "1"), ("x", "2")]);
        let after = list(&[("x", "2"), ("x", "3"), ("x", "4")]);
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.changed, [change("x", "1", "3")]);
        assert_eq!(difference.added, list(&[("x", "4")]));
        assert_eq!(difference.removed, []);
    }

    #[test]
    fn the_labs_own_headers_are_not_the_proxys_doing() {
        let before = list(&[("x-lab-observe", "1")]);
        let after = list(&[("x-lab-observed-request", "W10"), ("x-lab-backend", "a")]);
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.removed, []);
        assert_eq!(difference.added, list(&[("x-lab-backend", "a")]));
    }

    #[test]
    fn a_varying_value_counts_by_name_only() {
        let before = list(&[("date", "1"), ("etag", "a")]);
        let after = list(&[("date", "2"), ("date", "3"), ("etag", "b")]);
        let difference = Difference::between_except(&before, &after, |name| name == "date");
        assert_eq!(difference.changed, [change("etag", "a", "b")]);
        assert_eq!(difference.added, list(&[("date", "3")]));
    }
}
