//! What follows from the steps and edges alone, whatever state the steps are in.

use crate::dag::Dag;

use super::error::AnalysisError;
use super::facts::Step;
use super::paths::PathCounts;

/// The graph of a task with what never changes about it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) ids: Vec<u64>,
    index: Index,
    pub(crate) dag: Dag,
    pub(crate) edges: usize,
    pub(crate) paths: PathCounts,
    /// Where each step stands in topological order.
    pub(crate) place: Vec<usize>,
    /// The steps by level, in step order within each, and where each level begins.
    by_level: Vec<usize>,
    level_starts: Vec<usize>,
}

/// How a step is found by its id.
#[derive(Clone, Debug)]
enum Index {
    /// The ids count up from this one.
    From(u64),
    /// The steps in the order of their ids.
    Sorted(Vec<usize>),
}

impl Shape {
    pub(crate) fn new(steps: &[Step], edges: &[(u64, u64)]) -> Result<Self, AnalysisError> {
        let ids: Vec<u64> = steps.iter().map(|step| step.id).collect();
        let index = Index::new(&ids)?;
        let mut pairs = Vec::with_capacity(edges.len());
        for (from, to) in edges.iter().copied() {
            let find = |id| {
                index
                    .find(&ids, id)
                    .ok_or(AnalysisError::UnknownEdgeStep { from, to, id })
            };
            pairs.push((find(from)?, find(to)?));
        }
        let dag = Dag::build(steps.iter().map(|step| &step.name), pairs)?;
        let mut place = vec![0; dag.len()];
        for (index, step) in dag.topological_order().iter().copied().enumerate() {
            place[step] = index;
        }
        let (by_level, level_starts) = levels(&dag);
        Ok(Self {
            ids,
            index,
            edges: edges.len(),
            paths: PathCounts::count(&dag),
            dag,
            place,
            by_level,
            level_starts,
        })
    }

    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        self.index.find(&self.ids, id)
    }

    pub(crate) fn levels(&self) -> usize {
        self.level_starts.len() - 1
    }

    /// Returns the steps of a level, in step order.
    pub(crate) fn level(&self, level: usize) -> &[usize] {
        &self.by_level[self.level_starts[level]..self.level_starts[level + 1]]
    }
}

impl Index {
    fn new(ids: &[u64]) -> Result<Self, AnalysisError> {
        let first = ids.first().copied().unwrap_or(0);
        let counts_up = |(index, id): (usize, &u64)| first.checked_add(index as u64) == Some(*id);
        if ids.iter().enumerate().all(counts_up) {
            return Ok(Self::From(first));
        }
        let mut sorted: Vec<usize> = (0..ids.len()).collect();
        sorted.sort_by_key(|step| ids[*step]);
        match sorted.windows(2).find(|pair| ids[pair[0]] == ids[pair[1]]) {
            Some(pair) => Err(AnalysisError::DuplicateId { id: ids[pair[0]] }),
            None => Ok(Self::Sorted(sorted)),
        }
    }

    fn find(&self, ids: &[u64], id: u64) -> Option<usize> {
        match self {
            Self::From(first) => usize::try_from(id.checked_sub(*first)?)
                .ok()
                .filter(|step| *step < ids.len()),
            Self::Sorted(sorted) => {
                let place = sorted.binary_search_by_key(&id, |step| ids[*step]).ok()?;
                Some(sorted[place])
            }
        }
    }
}

/// Sorts the steps by level, counting.
fn levels(dag: &Dag) -> (Vec<usize>, Vec<usize>) {
    let count = dag
        .levels()
        .iter()
        .max()
        .map_or(0, |deepest| *deepest as usize + 1);
    let mut starts = vec![0; count + 1];
    for level in dag.levels() {
        starts[*level as usize + 1] += 1;
    }
    for level in 0..count {
        starts[level + 1] += starts[level];
    }
    let mut next = starts.clone();
    let mut by_level = vec![0; dag.len()];
    for (step, level) in dag.levels().iter().enumerate() {
        by_level[next[*level as usize]] = step;
        next[*level as usize] += 1;
    }
    (by_level, starts)
}
