//! Where requests to one pool went, one after the other.

use crate::judge::stages::turns::in_words;

/// The places of the backends, in the order of the requests.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// How many backends there are.
    pub backends: usize,
    /// The place of each, from 0.
    pub turns: Vec<usize>,
}

// === impl Order ===

impl Order {
    /// How many requests each backend got.
    pub fn counts(&self) -> Vec<usize> {
        counts(self.backends, &self.turns)
    }

    /// The first window as long as a cycle in which not each backend has what it should:
    /// what they have there. So a cycle may begin where it likes.
    pub fn first_inexact(&self, cycle: &[usize]) -> Option<Vec<usize>> {
        let windows = self.turns.windows(cycle.iter().sum::<usize>().max(1));
        windows.map(|window| counts(self.backends, window)).find(|counts| counts != cycle)
    }

    /// What each backend has in the shortest pattern that repeats; none where there is no
    /// pattern. One that is drawn has none, but in about `2^(-len/2)` of cases.
    pub fn pattern(&self) -> Option<Vec<usize>> {
        let turns = &self.turns;
        let repeats =
            |period: &usize| turns.iter().zip(&turns[*period..]).all(|(one, other)| one == other);
        let period = (1..=turns.len() / 2).find(repeats)?;
        Some(counts(self.backends, &turns[..period]))
    }

    /// The longest run of each backend that has one: its place, and how many in a row.
    pub fn runs(&self) -> Vec<(usize, usize)> {
        let longest = |place: usize| {
            let runs = self.turns.split(|turn| *turn != place);
            (place, runs.map(<[usize]>::len).max().unwrap_or(0))
        };
        (0..self.backends).map(longest).filter(|(_, run)| *run > 0).collect()
    }

    /// Without the first so many.
    #[must_use]
    pub fn after(&self, first: usize) -> Self {
        let turns = self.turns.iter().skip(first).copied().collect();
        Self { backends: self.backends, turns }
    }

    /// The beginning as text: numbers from 1.
    pub fn beginning(&self) -> String {
        const SHOWN: usize = 24;
        in_words(self.turns.iter().take(SHOWN).map(|place| place + 1))
    }
}

fn counts(backends: usize, turns: &[usize]) -> Vec<usize> {
    (0..backends).map(|place| turns.iter().filter(|turn| **turn == place).count()).collect()
}

/// Whether one is a multiple of the other.
pub fn in_proportion(one: &[usize], other: &[usize]) -> bool {
    let sums = (one.iter().sum::<usize>(), other.iter().sum::<usize>());
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a * sums.1 == b * sums.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &[usize]) -> Order {
        Order { backends: 3, turns: turns.to_vec() }
    }

    #[test]
    fn a_cycle_may_begin_anywhere_and_must_be_exact_everywhere() {
        let whole = order(&[0, 1, 0, 2, 0, 1, 0, 2, 0]);
        assert_eq!(whole.first_inexact(&[2, 1, 1]), None);
        let late = order(&[0, 1, 0, 2, 0, 1, 2, 0]);
        assert_eq!(late.first_inexact(&[2, 1, 1]), Some(vec![1, 1, 2]));
    }

    #[test]
    fn patterns_and_runs_are_found() {
        assert_eq!(order(&[0, 0, 1, 0, 0, 1, 0]).pattern(), Some(vec![2, 1, 0]));
        assert_eq!(order(&[0, 1, 2, 2, 0, 0]).pattern(), None);
        assert_eq!(order(&[0, 0, 1, 2, 2, 2]).runs(), [(0, 2), (1, 1), (2, 3)]);
        assert!(in_proportion(&[4, 2], &[2, 1]) && !in_proportion(&[4, 2], &[1, 2]));
    }
}
