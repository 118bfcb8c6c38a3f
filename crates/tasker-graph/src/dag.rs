//! The graph: how it is built, what can be wrong with it, and what it can be asked.
//!
//! Nodes are numbered in the order in which they were given, and every answer is in that order. Nothing here recurses,
//! so depth costs no stack.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use thiserror::Error;

/// A directed acyclic graph over nodes 0..len.
#[derive(Clone, Debug)]
pub struct Dag {
    names: Vec<String>,
    indices: BTreeMap<String, usize>,
    parents: Adjacency,
    children: Adjacency,
    levels: Vec<u32>,
    order: Vec<usize>,
}

/// What is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DagError {
    /// Two nodes have one name.
    #[error("`{name}` is there twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An edge leads to or from a node that does not exist.
    #[error("an edge names node {node}, but there are only {nodes}")]
    UnknownNode {
        /// The number that the edge has.
        node: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// An edge is given twice.
    #[error("the edge from `{from}` to `{to}` is there twice")]
    DuplicateEdge {
        /// Where it starts.
        from: String,
        /// Where it ends.
        to: String,
    },
    /// Nodes wait for one another.
    #[error("{}", describe(cycles))]
    Cycles {
        /// A shortest cycle of each group of nodes that wait for one another: its nodes in the direction of the edges,
        /// from the first in node order.
        cycles: Vec<Vec<String>>,
    },
}

fn describe(cycles: &[Vec<String>]) -> String {
    let cycles: Vec<_> = cycles
        .iter()
        .map(|cycle| format!("{} -> {}", cycle.join(" -> "), cycle.first().map_or("", String::as_str)))
        .collect();
    format!("there is a cycle: {}", cycles.join("; "))
}

/// Lists of neighbours, one after another.
#[derive(Clone, Debug)]
struct Adjacency {
    starts: Vec<usize>,
    targets: Vec<usize>,
}

impl Adjacency {
    /// Builds the lists of pairs that are sorted.
    fn new(nodes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut starts = Vec::with_capacity(nodes + 1);
        let mut targets = Vec::new();
        for (from, to) in pairs {
            while starts.len() <= from {
                starts.push(targets.len());
            }
            targets.push(to);
        }
        while starts.len() <= nodes {
            starts.push(targets.len());
        }
        Self { starts, targets }
    }

    fn of(&self, node: usize) -> &[usize] {
        &self.targets[self.starts[node]..self.starts[node + 1]]
    }
}

impl Dag {
    /// Builds the graph of these nodes and edges. An edge is a pair of node numbers, from before to after.
    ///
    /// # Errors
    ///
    /// The first duplicate name, edge to nowhere or duplicate edge; else every cycle, one of each group of nodes that
    /// wait for one another.
    ///
    /// # Complexity
    ///
    /// O((V + E) log V), and for each cycle the size of its group.
    pub fn build<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        edges: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, DagError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let mut indices = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            if indices.insert(name.clone(), index).is_some() {
                return Err(DagError::DuplicateName { name: name.clone() });
            }
        }
        let mut edges: Vec<(usize, usize)> = edges.into_iter().collect();
        let nodes = names.len();
        if let Some(node) = edges.iter().flat_map(|edge| [edge.0, edge.1]).find(|node| *node >= nodes) {
            return Err(DagError::UnknownNode { node, nodes });
        }
        edges.sort_unstable();
        if let Some(pair) = edges.windows(2).find(|pair| pair[0] == pair[1]) {
            let (from, to) = pair[0];
            return Err(DagError::DuplicateEdge { from: names[from].clone(), to: names[to].clone() });
        }
        let children = Adjacency::new(nodes, edges.iter().copied());
        let mut reversed: Vec<_> = edges.iter().map(|(from, to)| (*to, *from)).collect();
        reversed.sort_unstable();
        let parents = Adjacency::new(nodes, reversed.into_iter());
        let (order, levels) = sort(&parents, &children, nodes);
        if order.len() < nodes {
            let cycles = cycles(&children, &edges, nodes)
                .into_iter()
                .map(|cycle| cycle.into_iter().map(|node| names[node].clone()).collect())
                .collect();
            return Err(DagError::Cycles { cycles });
        }
        Ok(Self { names, indices, parents, children, levels, order })
    }

    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Tells whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the name of a node.
    ///
    /// # Panics
    ///
    /// When there is no such node, as all methods that take one.
    pub fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    /// Returns the node of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.indices.get(name).copied()
    }

    /// Returns the nodes that a node waits for, ascending.
    pub fn parents(&self, node: usize) -> &[usize] {
        self.parents.of(node)
    }

    /// Returns the nodes that wait for a node, ascending.
    pub fn children(&self, node: usize) -> &[usize] {
        self.children.of(node)
    }

    /// Returns every edge, ascending.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.len()).flat_map(|from| self.children(from).iter().map(move |to| (from, *to)))
    }

    /// Returns the level of every node: its longest distance from a root.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// Returns the nodes that wait for none, ascending.
    pub fn roots(&self) -> Vec<usize> {
        (0..self.len()).filter(|node| self.parents(*node).is_empty()).collect()
    }

    /// Returns the nodes that none waits for, ascending.
    pub fn leaves(&self) -> Vec<usize> {
        (0..self.len()).filter(|node| self.children(*node).is_empty()).collect()
    }

    /// Returns every node after those that it waits for; of several possible ones, the lowest number first.
    pub fn topological_order(&self) -> &[usize] {
        &self.order
    }

    /// Returns every node that a node waits for, directly or not, ascending.
    ///
    /// # Complexity
    ///
    /// Linear in the part of the graph that is visited.
    pub fn ancestors(&self, node: usize) -> Vec<usize> {
        reachable(node, self.len(), |node| self.parents(node))
    }

    /// Returns every node that waits for a node, directly or not, ascending.
    ///
    /// # Complexity
    ///
    /// Linear in the part of the graph that is visited.
    pub fn descendants(&self, node: usize) -> Vec<usize> {
        reachable(node, self.len(), |node| self.children(node))
    }
}

/// Sorts topologically, lowest number first, as far as cycles permit, and finds the levels of what it sorted.
fn sort(parents: &Adjacency, children: &Adjacency, nodes: usize) -> (Vec<usize>, Vec<u32>) {
    let mut waits: Vec<usize> = (0..nodes).map(|node| parents.of(node).len()).collect();
    let mut levels = vec![0; nodes];
    let mut order = Vec::with_capacity(nodes);
    let mut free: std::collections::BinaryHeap<_> =
        (0..nodes).filter(|node| waits[*node] == 0).map(std::cmp::Reverse).collect();
    while let Some(std::cmp::Reverse(node)) = free.pop() {
        order.push(node);
        for child in children.of(node) {
            levels[*child] = levels[*child].max(levels[node] + 1);
            waits[*child] -= 1;
            if waits[*child] == 0 {
                free.push(std::cmp::Reverse(*child));
            }
        }
    }
    (order, levels)
}

fn reachable<'a>(start: usize, nodes: usize, next: impl Fn(usize) -> &'a [usize]) -> Vec<usize> {
    let mut seen = vec![false; nodes];
    let mut waiting = vec![start];
    let mut found = Vec::new();
    while let Some(node) = waiting.pop() {
        for neighbour in next(node) {
            if !std::mem::replace(&mut seen[*neighbour], true) {
                found.push(*neighbour);
                waiting.push(*neighbour);
            }
        }
    }
    found.sort_unstable();
    found
}

/// Returns a shortest cycle through the first node of each strongly connected component that has one.
fn cycles(children: &Adjacency, edges: &[(usize, usize)], nodes: usize) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<(), (), usize> = DiGraph::with_capacity(nodes, edges.len());
    for _ in 0..nodes {
        graph.add_node(());
    }
    graph.extend_with_edges(edges.iter().map(|(from, to)| (NodeIndex::new(*from), NodeIndex::new(*to))));
    let mut component = vec![usize::MAX; nodes];
    let mut starts = Vec::new();
    // Kosaraju's algorithm, because the library's Tarjan recurses.
    for (number, members) in kosaraju_scc(&graph).into_iter().enumerate() {
        let members: Vec<usize> = members.into_iter().map(NodeIndex::index).collect();
        let first = members.iter().copied().min().unwrap_or_default();
        if members.len() > 1 || children.of(first).contains(&first) {
            starts.push(first);
            for member in members {
                component[member] = number;
            }
        }
    }
    starts.sort_unstable();
    starts.into_iter().map(|start| shortest_cycle(children, &component, start)).collect()
}

fn shortest_cycle(children: &Adjacency, component: &[usize], start: usize) -> Vec<usize> {
    let mut came_from = BTreeMap::new();
    let mut waiting = std::collections::VecDeque::from([start]);
    while let Some(node) = waiting.pop_front() {
        for child in children.of(node) {
            if *child == start {
                let mut cycle = vec![node];
                while let Some(before) = came_from.get(&cycle[cycle.len() - 1]) {
                    cycle.push(*before);
                }
                cycle.reverse();
                return cycle;
            }
            if component[*child] == component[start] && !came_from.contains_key(child) {
                came_from.insert(*child, node);
                waiting.push_back(*child);
            }
        }
    }
    vec![start]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|node| format!("n{node}")).collect()
    }

    #[track_caller]
    fn refused(count: usize, edges: &[(usize, usize)], message: &str) {
        assert_eq!(Dag::build(names(count), edges.iter().copied()).unwrap_err().to_string(), message);
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(Dag::build(["a", "a"], []).unwrap_err().to_string(), "`a` is there twice");
        refused(2, &[(0, 2)], "an edge names node 2, but there are only 2");
        refused(2, &[(0, 1), (0, 1)], "the edge from `n0` to `n1` is there twice");
        refused(1, &[(0, 0)], "there is a cycle: n0 -> n0");
    }

    #[test]
    fn each_group_of_cycles_is_named_once_by_a_shortest() {
        refused(
            7,
            &[(0, 1), (1, 2), (2, 3), (3, 1), (2, 1), (4, 5), (5, 6), (6, 4), (3, 4)],
            "there is a cycle: n1 -> n2 -> n1; n4 -> n5 -> n6 -> n4",
        );
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let count = 200_000;
        let dag = Dag::build(names(count), (1..count).map(|node| (node - 1, node))).unwrap();
        assert_eq!(dag.levels()[count - 1] as usize, count - 1);
        let cycle = Dag::build(names(count), (1..count).map(|node| (node - 1, node)).chain([(count - 1, 0)]));
        let DagError::Cycles { cycles } = cycle.unwrap_err() else { panic!("no cycle") };
        assert_eq!(cycles[0].len(), count);
    }

    fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (1usize..12).prop_flat_map(|count| {
            let edges = proptest::collection::btree_set((0..count, 0..count), 0..count * 2);
            (Just(count), edges.prop_map(|edges| edges.into_iter().collect()))
        })
    }

    fn naive_reach(edges: &[(usize, usize)], count: usize) -> Vec<Vec<bool>> {
        let mut reach = vec![vec![false; count]; count];
        for (from, to) in edges {
            reach[*from][*to] = true;
        }
        for middle in 0..count {
            for from in 0..count {
                for to in 0..count {
                    reach[from][to] |= reach[from][middle] && reach[middle][to];
                }
            }
        }
        reach
    }

    proptest! {
        #[test]
        fn answers_equal_their_definitions((count, edges) in graphs()) {
            let reach = naive_reach(&edges, count);
            let cyclic = (0..count).any(|node| reach[node][node]);
            match Dag::build(names(count), edges.iter().copied()) {
                Ok(dag) => {
                    prop_assert!(!cyclic);
                    let place: Vec<_> = (0..count)
                        .map(|node| dag.topological_order().iter().position(|n| *n == node).unwrap())
                        .collect();
                    for (from, to) in &edges {
                        prop_assert!(place[*from] < place[*to]);
                        prop_assert!(dag.levels()[*from] < dag.levels()[*to]);
                    }
                    for node in 0..count {
                        let below: Vec<_> = (0..count).filter(|to| reach[node][*to]).collect();
                        let above: Vec<_> = (0..count).filter(|from| reach[*from][node]).collect();
                        prop_assert_eq!(dag.descendants(node), below);
                        prop_assert_eq!(dag.ancestors(node), above);
                        let level = dag.parents(node).iter().map(|parent| dag.levels()[*parent] + 1).max();
                        prop_assert_eq!(dag.levels()[node], level.unwrap_or(0));
                    }
                }
                Err(DagError::Cycles { cycles }) => {
                    prop_assert!(cyclic);
                    for cycle in cycles {
                        let nodes: Vec<usize> =
                            cycle.iter().map(|name| name[1..].parse().unwrap()).collect();
                        for (index, node) in nodes.iter().enumerate() {
                            prop_assert!(edges.contains(&(*node, nodes[(index + 1) % nodes.len()])));
                        }
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
