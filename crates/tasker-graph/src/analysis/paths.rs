//! The most critical paths from a root to a leaf, and how many paths there are.
//!
//! Paths are never enumerated. What a path scores is a sum over its steps, so the best ways on from a step are the
//! best ones of its children, each longer by the step; and their number is the sum of the children's.

use crate::dag::Dag;

/// How many paths are kept.
pub(crate) const KEPT: usize = 5;

/// A leaf has no child.
const NOWHERE: u32 = u32::MAX;

/// One of the best ways from a step to a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    score: i128,
    /// The step that comes next, and which of its ways is taken there.
    child: u32,
    rank: u8,
}

/// A short list of ways, the best first.
#[derive(Clone, Copy)]
struct Best {
    ways: [Way; KEPT],
    len: usize,
}

impl Best {
    const fn new() -> Self {
        Self {
            ways: [Way {
                score: 0,
                child: NOWHERE,
                rank: 0,
            }; KEPT],
            len: 0,
        }
    }

    /// Takes the ways of a child in. Children come in step order, so that among equals the first one stays first,
    /// and with it the path that comes first by the places of its steps.
    fn take(&mut self, weight: i128, child: usize, ways: &[Way]) {
        for (rank, way) in ways.iter().enumerate() {
            let score = weight + way.score;
            if self.len == KEPT && score <= self.ways[KEPT - 1].score {
                return;
            }
            let mut place = self.len.min(KEPT - 1);
            while place > 0 && self.ways[place - 1].score < score {
                self.ways[place] = self.ways[place - 1];
                place -= 1;
            }
            self.ways[place] = Way {
                score,
                child: child as u32,
                rank: rank as u8,
            };
            self.len = (self.len + 1).min(KEPT);
        }
    }

    fn as_slice(&self) -> &[Way] {
        &self.ways[..self.len]
    }
}

/// The best ways from every step.
#[derive(Clone, Debug)]
pub(crate) struct BestWays {
    starts: Vec<u32>,
    ways: Vec<Way>,
}

impl BestWays {
    /// Finds the best ways on from every step, whose weights are given.
    ///
    /// # Complexity
    ///
    /// O((V + E)·k) for the k that are kept.
    pub(crate) fn find(dag: &Dag, counts: &PathCounts, weights: &[i128]) -> Self {
        let mut starts = Vec::with_capacity(dag.len() + 1);
        let mut end = 0;
        starts.push(end);
        for count in &counts.from {
            end += (*count).min(KEPT as u64) as u32;
            starts.push(end);
        }
        let nothing = Best::new().ways[0];
        let mut best = Self {
            starts,
            ways: vec![nothing; end as usize],
        };
        for step in dag.topological_order().iter().rev().copied() {
            best.find_again(dag, weights, step);
        }
        best
    }

    /// Finds the best ways on from a step anew; tells whether they are others than before.
    pub(crate) fn find_again(&mut self, dag: &Dag, weights: &[i128], step: usize) -> bool {
        let mut best = Best::new();
        for child in dag.children(step).iter().copied() {
            best.take(weights[step], child, self.of(child));
        }
        if best.len == 0 {
            best.ways[0].score = weights[step];
            best.len = 1;
        }
        let own = &mut self.ways[self.starts[step] as usize..self.starts[step + 1] as usize];
        let differs = own != best.as_slice();
        if differs {
            own.copy_from_slice(best.as_slice());
        }
        differs
    }

    fn of(&self, step: usize) -> &[Way] {
        &self.ways[self.starts[step] as usize..self.starts[step + 1] as usize]
    }

    /// Returns the best paths of all, the best first.
    pub(crate) fn paths(&self, dag: &Dag) -> Vec<Vec<usize>> {
        let mut best = Best::new();
        for step in 0..dag.len() {
            if dag.parents(step).is_empty() {
                best.take(0, step, self.of(step));
            }
        }
        best.as_slice().iter().map(|way| self.follow(*way)).collect()
    }

    fn follow(&self, mut way: Way) -> Vec<usize> {
        let mut path = Vec::new();
        while way.child != NOWHERE {
            let step = way.child as usize;
            path.push(step);
            way = self.of(step)[way.rank as usize];
        }
        path
    }
}

/// How many paths lead from a root to a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathCounts {
    /// From each step to a leaf; `u64::MAX` stands for more, too.
    from: Vec<u64>,
    pub(crate) total: u64,
    /// Whether there are more than `total`.
    pub(crate) is_lower_bound: bool,
}

impl PathCounts {
    /// Counts.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub(crate) fn count(dag: &Dag) -> Self {
        let mut from = vec![0_u64; dag.len()];
        let mut is_lower_bound = false;
        let mut add = |sum: u64, more: u64| {
            sum.checked_add(more).unwrap_or_else(|| {
                is_lower_bound = true;
                u64::MAX
            })
        };
        for step in dag.topological_order().iter().rev().copied() {
            let children = dag.children(step);
            from[step] = if children.is_empty() {
                1
            } else {
                children.iter().fold(0, |sum, child| add(sum, from[*child]))
            };
        }
        let roots = (0..dag.len()).filter(|step| dag.parents(*step).is_empty());
        let total = roots.fold(0, |sum, root| add(sum, from[root]));
        Self {
            from,
            total,
            is_lower_bound,
        }
    }
}
