//! Which backend each of a row of requests went to, and what that shows.

/// The backends that a row of requests went to, as numbers from 1, in the order
/// of `LAB_BACKENDS`.
#[derive(Clone, Debug)]
pub struct Turns {
    /// How many backends there are.
    pub backends: usize,
    /// Where each request went.
    pub order: Vec<usize>,
}

/// What a row of turns shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Everyone in turn: each window of as many requests as there are backends
    /// holds each backend once.
    Exact,
    /// One backend got everything.
    OnlyOne(usize),
    /// Several got something, these nothing.
    Missing(Vec<usize>),
    /// A pattern that repeats, but not everyone in turn.
    Regular,
    /// No pattern.
    Irregular,
}

// === impl Turns ===

impl Turns {
    /// What they show. A random choice looks [`Spread::Regular`] in no more than
    /// about `backends^(-len/2)` of cases.
    pub fn spread(&self) -> Spread {
        let counts = self.counts();
        if self.order.windows(self.backends).all(is_a_round) {
            return Spread::Exact;
        }
        let used: Vec<_> = (1..=self.backends).filter(|number| counts[number - 1] > 0).collect();
        if let [only] = used.as_slice() {
            return Spread::OnlyOne(*only);
        }
        if self.repeats() {
            let missing = (1..=self.backends).filter(|number| counts[number - 1] == 0);
            let missing: Vec<_> = missing.collect();
            return if missing.is_empty() { Spread::Regular } else { Spread::Missing(missing) };
        }
        Spread::Irregular
    }

    /// How many requests each backend got.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.backends];
        for number in &self.order {
            counts[number - 1] += 1;
        }
        counts
    }

    /// The counts as text.
    pub fn shares(&self) -> String {
        in_words(self.counts())
    }

    /// The first turns as text.
    pub fn beginning(&self) -> String {
        let shown = self.order.len().min(16);
        in_words(&self.order[..shown])
    }

    fn repeats(&self) -> bool {
        let order = &self.order;
        (1..=order.len() / 2)
            .any(|period| order.iter().zip(&order[period..]).all(|(one, other)| one == other))
    }
}

/// Whether each backend is in it once.
fn is_a_round(window: &[usize]) -> bool {
    (1..=window.len()).all(|number| window.contains(&number))
}

/// Numbers as a list.
pub fn in_words(numbers: impl IntoIterator<Item = impl ToString>) -> String {
    numbers.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_turns_is_named_for_what_it_shows() {
        let spread = |backends, order: &[usize]| Turns { backends, order: order.to_vec() }.spread();
        assert_eq!(spread(1, &[1, 1, 1, 1]), Spread::Exact);
        assert_eq!(spread(3, &[2, 3, 1, 2, 3, 1]), Spread::Exact);
        assert_eq!(spread(3, &[3, 1, 2, 3, 1, 2]), Spread::Exact);
        assert_eq!(spread(3, &[2, 2, 2, 2]), Spread::OnlyOne(2));
        assert_eq!(spread(3, &[1, 2, 1, 2, 1, 2]), Spread::Missing(vec![3]));
        // Even in the end, but not in turn.
        assert_eq!(spread(2, &[1, 1, 2, 2, 1, 1, 2, 2]), Spread::Regular);
        assert_eq!(spread(2, &[1, 2, 1, 2, 2, 1, 2, 1, 1, 1]), Spread::Irregular);
    }
}
