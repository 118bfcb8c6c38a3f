//! How many steps come after each step, and how many of them are blocked, for all steps at once.
//!
//! The set of what comes after a step is the union of its children's sets, kept as bits. Three things make the sets
//! small. A step with one parent is reached exactly by those who reach its parent, so it needs no bit of its own: it
//! is counted with its parent. A step with one child needs no set to be counted, so sets are built only for those
//! that branch and for what comes after them. And the bits are taken in portions, so that memory does not grow with
//! the square of the steps. A chain or a tree of a million steps has no bits at all.

use crate::dag::Dag;

/// How much memory the sets may take at a time, in words of 64 bits.
const WORDS_AT_ONCE: usize = 6 << 20;
/// The most words that a portion has for each step.
const WIDEST: usize = 64;

/// For every step the number of steps after it, and of the blocked ones among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descendants {
    pub(crate) all: Vec<u32>,
    pub(crate) blocked: Vec<u32>,
}

impl Descendants {
    /// Counts.
    ///
    /// # Complexity
    ///
    /// O(V·J/64 + E·J/64) time for J steps with several parents, at most 48 MB beside the answer.
    pub(crate) fn count(dag: &Dag, blocked: &[bool]) -> Self {
        let most = WORDS_AT_ONCE / dag.len().max(1);
        Self::count_in_portions(dag, blocked, most.clamp(1, WIDEST))
    }

    /// Counts with at most so many words for each step at a time.
    fn count_in_portions(dag: &Dag, blocked: &[bool], most: usize) -> Self {
        let steps = dag.len();
        let order = dag.topological_order();
        let mut counts = Self {
            all: vec![0; steps],
            blocked: vec![0; steps],
        };
        // What hangs on a step by single parents.
        for step in order.iter().rev().copied() {
            for child in dag.children(step).iter().copied() {
                if dag.parents(child).len() == 1 {
                    counts.all[step] += 1 + counts.all[child];
                    counts.blocked[step] += u32::from(blocked[child]) + counts.blocked[child];
                }
            }
        }
        let joins: Vec<usize> = order
            .iter()
            .copied()
            .filter(|step| dag.parents(*step).len() > 1)
            .collect();
        if joins.is_empty() {
            return counts;
        }
        let weights: Vec<(u32, u32)> = joins
            .iter()
            .map(|join| {
                (
                    1 + counts.all[*join],
                    u32::from(blocked[*join]) + counts.blocked[*join],
                )
            })
            .collect();
        let sets = Sets::new(dag);
        sets.add(dag, &joins, &weights, most, &mut counts);
        // A step with one child has all that the child has, and the child; the rest is counted by sets.
        for step in order.iter().rev().copied() {
            if let [child] = *dag.children(step) {
                counts.all[step] = 1 + counts.all[child];
                counts.blocked[step] = u32::from(blocked[child]) + counts.blocked[child];
            }
        }
        counts
    }
}

/// Who needs a set, and where everything stands in topological order.
struct Sets {
    place: Vec<usize>,
    needed: Vec<bool>,
}

impl Sets {
    fn new(dag: &Dag) -> Self {
        let order = dag.topological_order();
        let mut place = vec![0; dag.len()];
        let mut needed = vec![false; dag.len()];
        for (index, step) in order.iter().copied().enumerate() {
            place[step] = index;
            needed[step] =
                dag.children(step).len() > 1 || dag.parents(step).iter().any(|parent| needed[*parent]);
        }
        Self { place, needed }
    }

    /// Adds the weights of all joins after each step, portion by portion.
    fn add(&self, dag: &Dag, joins: &[usize], weights: &[(u32, u32)], most: usize, counts: &mut Descendants) {
        let order = dag.topological_order();
        let width = joins.len().div_ceil(64).min(most);
        let mut column = vec![usize::MAX; dag.len()];
        let mut rows = vec![0_u64; width * order.len()];
        for (joins, weights) in joins.chunks(width * 64).zip(weights.chunks(width * 64)) {
            for (index, join) in joins.iter().enumerate() {
                column[*join] = index;
            }
            let all = slices(weights.iter().map(|(all, _)| *all), width);
            let blocked = slices(weights.iter().map(|(_, blocked)| *blocked), width);
            // Nobody at or after the last join of the portion reaches any of it.
            let end = joins.last().map_or(0, |join| self.place[*join]);
            for (index, step) in order[..end].iter().copied().enumerate().rev() {
                if !self.needed[step] {
                    continue;
                }
                let (head, tail) = rows.split_at_mut((index + 1) * width);
                let row = &mut head[index * width..];
                row.fill(0);
                for child in dag.children(step).iter().copied() {
                    let place = self.place[child];
                    if place < end {
                        let start = (place - index - 1) * width;
                        for (word, other) in row.iter_mut().zip(&tail[start..start + width]) {
                            *word |= other;
                        }
                    }
                    if column[child] != usize::MAX {
                        row[column[child] / 64] |= 1 << (column[child] % 64);
                    }
                }
                if dag.children(step).len() > 1 {
                    counts.all[step] += weigh(row, &all);
                    counts.blocked[step] += weigh(row, &blocked);
                }
            }
            for join in joins {
                column[*join] = usize::MAX;
            }
        }
    }
}

/// Returns the binary digits of weights as sets: the n-th has those whose weight has the n-th digit.
fn slices(weights: impl Iterator<Item = u32> + Clone, width: usize) -> Vec<Vec<u64>> {
    let digits = weights
        .clone()
        .max()
        .map_or(0, |most| u32::BITS - most.leading_zeros());
    (0..digits)
        .map(|digit| {
            let mut slice = vec![0; width];
            for (index, weight) in weights.clone().enumerate() {
                slice[index / 64] |= u64::from(weight >> digit & 1) << (index % 64);
            }
            slice
        })
        .collect()
}

fn weigh(row: &[u64], slices: &[Vec<u64>]) -> u32 {
    let count = |slice: &Vec<u64>| -> u32 {
        row.iter()
            .zip(slice)
            .map(|(word, digit)| (word & digit).count_ones())
            .sum()
    };
    slices
        .iter()
        .enumerate()
        .map(|(digit, slice)| count(slice) << digit)
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Graphs with trees, chains and joins, of several words for each step.
    fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (1_usize..400, 0_usize..4).prop_flat_map(|(count, most)| {
            let parents = proptest::collection::vec((0..=most, any::<[u16; 3]>()), count);
            parents.prop_map(move |parents| {
                let mut edges = Vec::new();
                for (step, (count, picks)) in parents.into_iter().enumerate() {
                    edges.extend(
                        picks
                            .iter()
                            .take(count)
                            .map(|pick| (usize::from(*pick) % step.max(1), step)),
                    );
                }
                edges.retain(|(from, to)| from != to);
                edges.sort_unstable();
                edges.dedup();
                (count, edges)
            })
        })
    }

    proptest! {
        #[test]
        fn every_count_is_that_of_a_walk((count, edges) in graphs(), most in 1_usize..4, seed: u64) {
            let dag = Dag::build((0..count).map(|step| step.to_string()), edges).unwrap();
            let blocked: Vec<bool> = (0..count).map(|step| seed >> (step % 61) & 1 == 1).collect();
            let counts = Descendants::count_in_portions(&dag, &blocked, most);
            prop_assert_eq!(&counts, &Descendants::count(&dag, &blocked));
            for step in 0..count {
                let descendants = dag.descendants(step);
                prop_assert_eq!(counts.all[step] as usize, descendants.len());
                let waiting = descendants.iter().filter(|step| blocked[**step]).count();
                prop_assert_eq!(counts.blocked[step] as usize, waiting);
            }
        }
    }
}
