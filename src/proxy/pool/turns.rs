//! Whose turn it is: smooth weighted round robin, prepared as a table.
//!
//! Weights 5, 1, 1 give A A B A C A A and not A A A A A B C: at each turn every
//! backend gains its weight, the one with the most goes first and pays the sum of
//! all weights. That sequence repeats, so it is worked out once, and a request's
//! turn is one addition and one look-up.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest table; weights whose sum is larger are rounded to fit.
const LONGEST: u64 = 8192;

/// The order in which backends take turns.
#[derive(Debug)]
pub(super) struct Turns {
    /// Places of backends, in order.
    order: Box<[u16]>,
}

impl Turns {
    /// The order for these backends and weights; those of weight 0 have no turn.
    pub(super) fn new(weights: &[(u16, u64)]) -> Self {
        let weights: Vec<_> = weights.iter().copied().filter(|(_, weight)| *weight > 0).collect();
        let divisor = weights.iter().map(|(_, weight)| *weight).fold(0, gcd).max(1);
        let sum: u64 = weights.iter().map(|(_, weight)| weight / divisor).sum();
        let fit = |weight: u64| match sum {
            ..=LONGEST => (weight / divisor) as i64,
            _ => (weight as u128 * u128::from(LONGEST) / u128::from(sum * divisor)).max(1) as i64,
        };
        let mut gains: Vec<_> = weights.iter().map(|(place, w)| (*place, fit(*w), 0i64)).collect();
        let total: i64 = gains.iter().map(|(_, weight, _)| weight).sum();
        let order = (0..total)
            .filter_map(|_| {
                for (_, weight, credit) in &mut gains {
                    *credit += *weight;
                }
                // The first of equals, as they stand in the configuration.
                let most = gains.iter().map(|(_, _, credit)| *credit).max()?;
                let next = gains.iter_mut().find(|(_, _, credit)| *credit == most)?;
                next.2 -= total;
                Some(next.0)
            })
            .collect();
        Self { order }
    }

    /// The backend whose turn it is.
    pub(super) fn next(&self, turn: &AtomicUsize) -> Option<usize> {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        self.order.get(turn.checked_rem(self.order.len())?).map(|place| usize::from(*place))
    }

    /// A backend by chance, each as likely as its weight; `chance` is random.
    pub(super) fn drawn(&self, chance: u32) -> Option<usize> {
        // The high bits of the product: as even as `chance` is, without a division.
        let index = (u64::from(chance) * self.order.len() as u64) >> 32;
        self.order.get(index as usize).map(|place| usize::from(*place))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u64]) -> Vec<u16> {
        let weights: Vec<_> = (0..).zip(weights.iter().copied()).collect();
        Turns::new(&weights).order.into()
    }

    #[test]
    fn turns_of_a_heavy_backend_are_spread_out() {
        assert_eq!(order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(order(&[20, 10]), order(&[2, 1]));
        assert_eq!(order(&[0, 3]), [1]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn every_cycle_is_exact_and_no_burst_is_longer_than_it_must_be() {
        proptest::proptest!(|(weights in proptest::collection::vec(1u64..=40, 1..8))| {
            let order = order(&weights);
            let divisor = weights.iter().copied().fold(0, gcd);
            let sum: u64 = weights.iter().sum::<u64>() / divisor;
            proptest::prop_assert_eq!(order.len() as u64, sum);
            for (place, weight) in (0..).zip(&weights) {
                let share = order.iter().filter(|p| **p == place).count() as u64;
                proptest::prop_assert_eq!(share, weight / divisor);
            }
            // In any run of the order, nobody is more than one turn per other
            // backend away from its share.
            for (place, weight) in (0..).zip(&weights) {
                let mut had = 0.0;
                for (turn, next) in order.iter().enumerate() {
                    had += f64::from(*next == place);
                    let due = (turn + 1) as f64 * *weight as f64 / weights.iter().sum::<u64>() as f64;
                    proptest::prop_assert!((had - due).abs() <= weights.len() as f64);
                }
            }
        });
    }

    #[test]
    fn weights_that_are_too_many_are_rounded_and_none_is_lost() {
        let weights: Vec<_> = (0..100).map(|place| if place == 0 { 1 } else { 997 }).collect();
        let order = order(&weights);
        assert!(order.len() as u64 <= LONGEST + 100);
        assert!((0..100).all(|place| order.contains(&place)));
    }

    #[test]
    fn chance_follows_the_weights() {
        let turns = Turns::new(&[(0, 3), (1, 1)]);
        let first = (0..1000).filter(|i| turns.drawn(i * (u32::MAX / 1000)) == Some(0)).count();
        assert!((740..=760).contains(&first), "{first}");
        assert_eq!(turns.drawn(u32::MAX), Some(0), "the last of the table A A B A");
    }
}
