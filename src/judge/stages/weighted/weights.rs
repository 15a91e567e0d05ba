//! Weights of the backends of one pool, and what they ask for.

use crate::judge::draw::Draw;

/// Weights, in the order in which the backends stand in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights(Vec<Option<u16>>);

/// Weights with which no right algorithm comes near [`Weights::longest_run`], and blocks
/// (AAAAABC) pass it.
pub const DRAWN: &[&[u16]] =
    &[&[5, 1, 1], &[4, 2, 1], &[6, 2, 1], &[7, 3, 1], &[5, 2, 1, 1], &[4, 3, 2, 1]];

/// With these, an order that gives the heaviest its surplus over the next first
/// (AAAABABCABC) passes the longest run, and no run of it is a whole share.
pub const CLUMPING: &[&[u16]] = &[&[7, 3, 2], &[8, 3, 2], &[9, 4, 2], &[8, 4, 1]];

/// Weights of which one is far the greatest, and what the others have is not the same.
pub const HEAVY: &[&[u16]] = &[&[6, 3, 1], &[7, 3, 2], &[6, 2, 1], &[8, 4, 1]];

// === impl Weights ===

impl Weights {
    /// One of these lists, in another order.
    pub fn drawn(draw: &Draw, lists: &[&[u16]]) -> Self {
        let mut weights = draw.pick(lists).to_vec();
        draw.shuffle(&mut weights);
        Self(weights.into_iter().map(Some).collect())
    }

    /// The same, and each 1 among them is not said.
    #[must_use]
    pub fn with_ones_unsaid(self) -> Self {
        Self(self.0.into_iter().map(|weight| weight.filter(|weight| *weight != 1)).collect())
    }

    /// As they stand in the file.
    pub fn said(&self) -> impl Iterator<Item = Option<u16>> + '_ {
        self.0.iter().copied()
    }

    /// One for each backend: what is not said is 1.
    pub fn all(&self) -> Vec<usize> {
        self.said().map(|weight| usize::from(weight.unwrap_or(1))).collect()
    }

    /// The requests of a cycle: the sum.
    pub fn cycle(&self) -> usize {
        self.all().iter().sum()
    }

    /// The place of the greatest.
    pub fn heaviest(&self) -> usize {
        let all = self.all();
        (0..all.len()).max_by_key(|place| all[*place]).unwrap_or(0)
    }

    /// The most requests that one backend may get in a row. Those of the others leave as
    /// many gaps as they are; its own, spread over the gaps, are so many in each, rounded
    /// up. One more is granted, since where they don't divide evenly, or several others
    /// are due at the same moment, right algorithms do not decide alike.
    pub fn longest_run(&self, place: usize) -> usize {
        let own = self.all()[place];
        own.div_ceil((self.cycle() - own).max(1)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::stages::weighted::order::Order;

    fn weights(list: &[u16]) -> Weights {
        Weights(list.iter().copied().map(Some).collect())
    }

    /// Of each cycle as many turns as its sum, by whoever is due.
    fn turns(weights: &Weights, mut due: impl FnMut(&[usize]) -> usize) -> Order {
        let all = weights.all();
        let turns = (0..weights.cycle() * 4).map(|_| due(&all)).collect();
        Order { backends: all.len(), turns }
    }

    fn smooth(weights: &Weights) -> Order {
        let mut credit = vec![0; weights.all().len()];
        let sum = i64::try_from(weights.cycle()).unwrap();
        turns(weights, |all| {
            credit.iter_mut().zip(all).for_each(|(one, weight)| *one += *weight as i64);
            let best = (0..all.len()).rev().max_by_key(|place| credit[*place]).unwrap();
            credit[best] -= sum;
            best
        })
    }

    /// Earliest deadline first; the first deadlines lie apart.
    fn deadlines(weights: &Weights) -> Order {
        let all = weights.all();
        let common: usize = all.iter().product();
        let step = |weight: usize| 2 * all.len() * common / weight;
        let first = |(place, weight): (usize, &usize)| step(*weight) * (2 * place + 1);
        let mut next: Vec<_> =
            all.iter().enumerate().map(|one| first(one) / (2 * all.len())).collect();
        turns(weights, |all| {
            let best = (0..all.len()).min_by_key(|place| next[*place]).unwrap();
            next[best] += step(all[best]);
            best
        })
    }

    fn blocks(weights: &Weights) -> Order {
        let block = |(place, weight): (usize, &usize)| vec![place; *weight];
        let cycle: Vec<_> = weights.all().iter().enumerate().flat_map(block).collect();
        Order { backends: weights.all().len(), turns: cycle.repeat(4) }
    }

    /// All whose weight is not less than a level that sinks from the greatest to 1.
    fn levels(weights: &Weights) -> Order {
        let all = weights.all();
        let level =
            |level: usize| (0..all.len()).filter(|place| all[*place] >= level).collect::<Vec<_>>();
        let cycle: Vec<_> = (1..=all[weights.heaviest()]).rev().flat_map(level).collect();
        Order { backends: all.len(), turns: cycle.repeat(4) }
    }

    fn too_long(weights: &Weights, order: &Order) -> Option<(usize, usize)> {
        order.runs().into_iter().find(|(place, run)| *run > weights.longest_run(*place))
    }

    #[test]
    fn right_orders_are_exact_and_within_the_longest_run_whichever_stands_first() {
        for list in DRAWN.iter().chain(CLUMPING).chain(HEAVY) {
            for turn in 0..list.len() {
                let mut list = list.to_vec();
                list.rotate_left(turn);
                let weights = weights(&list);
                for order in [smooth(&weights), deadlines(&weights)] {
                    assert_eq!(order.first_inexact(&weights.all()), None, "{list:?}");
                    assert_eq!(too_long(&weights, &order), None, "{list:?} {order:?}");
                }
            }
        }
    }

    #[test]
    fn blocks_and_levels_are_exact_and_too_long() {
        for list in DRAWN.iter().chain(CLUMPING) {
            let weights = weights(list);
            let order = blocks(&weights);
            assert_eq!(order.first_inexact(&weights.all()), None, "{list:?}");
            let (place, run) = too_long(&weights, &order).unwrap();
            assert_eq!(run, weights.all()[place], "{list:?}");
        }
        for list in CLUMPING {
            let weights = weights(list);
            // However it decides between equals.
            assert!(usize::from(list[0] - list[1]) > weights.longest_run(0), "{list:?}");
            let (place, run) = too_long(&weights, &levels(&weights)).unwrap();
            assert!(run < weights.all()[place], "{list:?}");
        }
    }
}
