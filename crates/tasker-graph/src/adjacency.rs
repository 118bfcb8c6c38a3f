//! The neighbours of every node in one array, so that a million nodes need no million allocations.

/// For every node the nodes at the other end of its edges, ascending.
#[derive(Clone, Debug)]
pub(crate) struct Adjacency {
    /// Where the neighbours of each node begin in `targets`, and at last where those of the last node end.
    starts: Vec<usize>,
    targets: Vec<usize>,
}

impl Adjacency {
    /// Builds the lists of pairs (node, neighbour), whose neighbours come in ascending order for each node.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub(crate) fn new(nodes: usize, pairs: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let mut starts = vec![0; nodes + 1];
        for (node, _) in pairs.clone() {
            starts[node + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut targets = vec![0; starts[nodes]];
        for (node, neighbour) in pairs {
            targets[next[node]] = neighbour;
            next[node] += 1;
        }
        Self { starts, targets }
    }

    /// Returns the neighbours of a node.
    pub(crate) fn of(&self, node: usize) -> &[usize] {
        &self.targets[self.starts[node]..self.starts[node + 1]]
    }
}
