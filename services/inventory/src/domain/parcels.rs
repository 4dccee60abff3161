//! Few parcels: which warehouses together have all that is wanted.
//!
//! To find the fewest is set cover, for which nobody knows a fast way, so this is a heuristic: it always
//! takes the warehouse that gives most of what is still missing, and at the end leaves out those that
//! the others have made superfluous. With `h(n) = 1 + 1/2 + … + 1/n` it takes at most `h(n)` times as many
//! as would do, `n` being the most that one warehouse can give: pieces where lines may be split
//! (Wolsey, *An analysis of the greedy algorithm for the submodular set covering problem*, Combinatorica
//! 2, 1982), whole lines where they may not (Chvátal, *A greedy heuristic for the set-covering problem*,
//! Mathematics of Operations Research 4, 1979).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is wanted, and what each warehouse could give of it.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// Pieces wanted of each line.
    pub(super) wanted: Vec<i64>,
    /// The lines of which a warehouse has any, with the pieces; in the order in which it is tried.
    pub(super) offers: Vec<Vec<(usize, i64)>>,
    /// The warehouses from which a parcel comes anyway.
    pub(super) given: Vec<usize>,
    /// Whether a line may come from several warehouses.
    pub(super) split: bool,
}

impl Cover {
    /// A few warehouses that together have all of it, if all together have.
    ///
    /// What a warehouse can add only shrinks while others are taken, so one that still adds what it
    /// added before is the best without a look at the rest (Minoux, *Accelerated greedy algorithms for
    /// maximizing submodular set functions*, 1978).
    pub(super) fn few(&self) -> Vec<usize> {
        let mut missing = self.wanted.clone();
        for place in &self.given {
            self.serve(*place, &mut missing);
        }
        let mut taken = self.given.clone();
        let others = (0..self.offers.len()).filter(|place| !self.given.contains(place));
        let mut best: BinaryHeap<_> = others.map(|place| (self.adds(place, &missing), Reverse(place))).collect();
        while missing.iter().any(|pieces| *pieces > 0) {
            let Some((added, Reverse(place))) = best.pop() else { break };
            let adds = self.adds(place, &missing);
            if adds < added {
                best.push((adds, Reverse(place)));
                continue;
            }
            if adds == 0 {
                break;
            }
            self.serve(place, &mut missing);
            taken.push(place);
        }
        self.without_superfluous(taken)
    }

    /// Pieces of what is missing that a warehouse has; or lines, where it has to have all of a line.
    fn adds(&self, place: usize, missing: &[i64]) -> i64 {
        self.offers[place].iter().map(|(line, free)| self.counts(*free, missing[*line])).sum()
    }

    fn counts(&self, free: i64, missing: i64) -> i64 {
        if self.split { free.min(missing) } else { i64::from(missing > 0 && free >= missing) }
    }

    fn serve(&self, place: usize, missing: &mut [i64]) {
        for (line, free) in &self.offers[place] {
            let pieces = &mut missing[*line];
            *pieces -= if self.split || free >= pieces { (*free).min(*pieces) } else { 0 };
        }
    }

    /// Leaves out those without which all is there too, the ones first that were taken first.
    fn without_superfluous(&self, mut taken: Vec<usize>) -> Vec<usize> {
        let worth = |line: usize, free: i64| if self.split { free } else { self.counts(free, self.wanted[line]) };
        let needed = |line: usize| if self.split { self.wanted[line] } else { i64::from(self.wanted[line] > 0) };
        let mut sums = vec![0; self.wanted.len()];
        for (line, free) in taken.iter().flat_map(|place| &self.offers[*place]) {
            sums[*line] += worth(*line, *free);
        }
        taken.retain(|place| {
            let offer = &self.offers[*place];
            let is_superfluous = offer.iter().all(|(line, free)| sums[*line] - worth(*line, *free) >= needed(*line));
            let leaves = is_superfluous && !self.given.contains(place);
            if leaves {
                for (line, free) in offer {
                    sums[*line] -= worth(*line, *free);
                }
            }
            !leaves
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Cover;

    impl Cover {
        /// Whether these warehouses together have all of it.
        fn is_served_by(&self, places: &[usize]) -> bool {
            let mut missing = self.wanted.clone();
            for place in places {
                self.serve(*place, &mut missing);
            }
            missing.iter().all(|pieces| *pieces == 0)
        }

        /// The fewest that have all of it, by trying all sets.
        fn fewest(&self) -> Option<usize> {
            let sets = (0_u32..1 << self.offers.len())
                .map(|set| (0..self.offers.len()).filter(|place| set >> place & 1 == 1).collect::<Vec<_>>());
            let holds_given = |set: &Vec<usize>| self.given.iter().all(|place| set.contains(place));
            sets.filter(holds_given).filter(|set| self.is_served_by(set)).map(|set| set.len()).min()
        }
    }

    fn harmonic(n: i64) -> f64 {
        (1..=n).map(|number| 1.0 / f64::from(i32::try_from(number).unwrap())).sum()
    }

    #[test]
    fn one_warehouse_that_has_all_is_taken_alone() {
        let offers = vec![vec![(0, 5)], vec![(1, 5)], vec![(0, 2), (1, 1)]];
        let cover = Cover { wanted: vec![2, 1], offers, given: vec![], split: true };
        assert_eq!(cover.few(), [2]);
        assert_eq!(Cover { split: false, ..cover }.few(), [2]);
    }

    #[test]
    fn of_two_that_give_the_same_the_first_in_order_is_taken() {
        let cover = Cover { wanted: vec![1], offers: vec![vec![(0, 1)], vec![(0, 9)]], given: vec![], split: true };
        assert_eq!(cover.few(), [0]);
    }

    #[test]
    fn what_the_others_have_made_superfluous_is_left_out() {
        // The second gives most, but the first and the third are needed and have all that it has.
        let offers = vec![vec![(0, 3), (1, 2)], vec![(1, 2), (2, 4)], vec![(2, 3), (3, 2)]];
        let cover = Cover { wanted: vec![3, 2, 3, 2], offers, given: vec![], split: true };
        assert_eq!(cover.few(), [0, 2]);
    }

    #[test]
    fn a_parcel_that_comes_anyway_takes_what_it_can() {
        let cover = Cover {
            wanted: vec![2, 2],
            offers: vec![vec![(0, 2)], vec![(1, 2)], vec![(0, 2), (1, 2)]],
            given: vec![2],
            split: true,
        };
        assert_eq!(cover.few(), [2]);
    }

    #[test]
    fn what_a_parcel_gives_that_comes_anyway_is_sought_nowhere_else() {
        let offers = vec![vec![(0, 2)], vec![(0, 2), (1, 1)], vec![(1, 1)], vec![(1, 2)]];
        let cover = Cover { wanted: vec![2, 2], offers, given: vec![0], split: true };
        assert_eq!(cover.few(), [0, 3]);
    }

    #[test]
    fn a_line_that_is_served_draws_no_other_warehouse_near() {
        let offers = vec![vec![(0, 1), (1, 1)], vec![(0, 1), (1, 1)], vec![(2, 1)]];
        let cover = Cover { wanted: vec![1, 1, 1], offers, given: vec![], split: false };
        assert_eq!(cover.few(), [0, 2]);
    }

    #[test]
    fn of_two_of_which_one_is_superfluous_one_stays() {
        let offers = vec![vec![(0, 3), (2, 2)], vec![(0, 1), (2, 2)], vec![(0, 3), (3, 2)], vec![(1, 3), (2, 3)]];
        let cover = Cover { wanted: vec![4, 1, 4, 1], offers, given: vec![], split: true };
        assert!(cover.is_served_by(&cover.few()), "{:?}", cover.few());
    }

    fn any_cover() -> impl Strategy<Value = Cover> {
        let offer = prop::collection::vec(0_i64..6, 4);
        let wanted = prop::collection::vec(0_i64..7, 4);
        let given = prop::collection::btree_set(0_usize..6, 0..2);
        (wanted, prop::collection::vec(offer, 1..7), given, any::<bool>()).prop_map(|(wanted, offers, given, split)| {
            let there = |offer: Vec<i64>| offer.into_iter().enumerate().filter(|(_, free)| *free > 0).collect();
            let offers: Vec<Vec<_>> = offers.into_iter().map(there).collect();
            let given = given.into_iter().filter(|place| *place < offers.len()).collect();
            Cover { wanted, offers, given, split }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn few_are_never_more_than_the_bound_times_the_fewest(cover in any_cover()) {
            let few = cover.few();
            let Some(fewest) = cover.fewest() else { return Ok(()) };
            prop_assert!(cover.is_served_by(&few), "{few:?} of {cover:?}");
            prop_assert!(cover.given.iter().all(|place| few.contains(place)));
            let most = (0..cover.offers.len()).map(|place| cover.adds(place, &cover.wanted)).max().unwrap_or(0);
            let (more, least) = (few.len() - cover.given.len(), fewest - cover.given.len());
            let bound = harmonic(most) * f64::from(u32::try_from(least).unwrap());
            prop_assert!(f64::from(u32::try_from(more).unwrap()) <= bound + 1e-9, "{more} of {least}: {cover:?}");
            for place in few.iter().filter(|place| !cover.given.contains(place)) {
                let others: Vec<_> = few.iter().copied().filter(|other| other != place).collect();
                prop_assert!(!cover.is_served_by(&others), "{place} is superfluous: {cover:?}");
            }
        }
    }
}
