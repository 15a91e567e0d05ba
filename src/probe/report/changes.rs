//! One direction of one request: what the proxy did, a line each.

use super::super::compare::Difference;
use super::super::tally::Change;
use super::layout::harmless;

/// What happened to one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub change: Change,
    pub name: String,
    pub value: String,
}

/// Lists as they were shown, to say only what differs in the next.
#[derive(Default)]
pub(super) struct Shown {
    first: Option<(u64, Vec<Line>)>,
}

/// How a list is best said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saying {
    /// Line by line.
    InFull(Vec<Line>),
    /// As in the request of this number, except for these lines.
    AsIn(u64, Vec<Line>),
}

// === impl Line ===

impl Line {
    pub(super) fn list(difference: &Difference) -> Vec<Self> {
        let line = |change, name: &str, value: String| Self { change, name: harmless(name), value };
        let added =
            difference.added.iter().map(|it| line(Change::Added, &it.name, harmless(&it.value)));
        let changed = difference.changed.iter().map(|it| {
            let value = format!("{} → {}", harmless(&it.from), harmless(&it.to));
            line(Change::Changed, &it.name, value)
        });
        let removed = difference
            .removed
            .iter()
            .map(|it| line(Change::Removed, &it.name, harmless(&it.value)));
        added.chain(changed).chain(removed).collect()
    }

    pub(super) fn text(&self) -> String {
        format!("{} {}: {}", mark(self.change), self.name, self.value)
    }
}

/// The sign for a change, the same in both languages.
pub(super) fn mark(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Changed => '~',
        Change::Removed => '-',
    }
}

// === impl Shown ===

impl Shown {
    /// The first list is said in full, and every later one that has the same
    /// headers only where its values differ. A list with other headers is said
    /// in full again.
    pub(super) fn say(&mut self, number: u64, lines: Vec<Line>) -> Saying {
        let Some((first, known)) = &self.first else {
            self.first = Some((number, lines.clone()));
            return Saying::InFull(lines);
        };
        let key = |line: &Line| (line.change, line.name.clone());
        if lines.is_empty() || !lines.iter().map(key).eq(known.iter().map(key)) {
            return Saying::InFull(lines);
        }
        let differ = lines.into_iter().zip(known).filter(|(line, known)| line != *known);
        Saying::AsIn(*first, differ.map(|(line, _)| line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(headers: &[(&str, &str)]) -> Vec<Line> {
        headers
            .iter()
            .map(|(name, value)| Line {
                change: Change::Added,
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect()
    }

    #[test]
    fn only_what_differs_is_said_again() {
        let mut shown = Shown::default();
        let first = lines(&[("via", "p"), ("id", "1")]);
        assert_eq!(shown.say(1, first.clone()), Saying::InFull(first.clone()));
        assert_eq!(shown.say(2, first), Saying::AsIn(1, vec![]));
        let other_id = lines(&[("via", "p"), ("id", "2")]);
        assert_eq!(shown.say(3, other_id), Saying::AsIn(1, lines(&[("id", "2")])));
        let fewer = lines(&[("via", "p")]);
        assert_eq!(shown.say(4, fewer.clone()), Saying::InFull(fewer));
        assert_eq!(shown.say(5, vec![]), Saying::InFull(vec![]));
    }
}
