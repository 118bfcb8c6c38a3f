//! The graph, and what it can be asked.
//!
//! Every answer is in node order. Nothing here recurses, so that depth costs no stack.

use crate::adjacency::Adjacency;

/// A directed acyclic graph over nodes numbered 0..len in the order in which they were given.
///
/// It never changes. An edge leads from a node to one that comes after it.
#[derive(Clone, Debug)]
pub struct Dag {
    pub(crate) names: Vec<Box<str>>,
    /// The nodes in the order of their names.
    pub(crate) by_name: Vec<usize>,
    pub(crate) parents: Adjacency,
    pub(crate) children: Adjacency,
    pub(crate) levels: Vec<u32>,
    pub(crate) order: Vec<usize>,
}

impl Dag {
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
    /// If there is no such node, as every method that takes one.
    pub fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    /// Returns the node of this name.
    ///
    /// # Complexity
    ///
    /// O(log V) comparisons.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let place = self
            .by_name
            .binary_search_by(|node| (*self.names[*node]).cmp(name))
            .ok()?;
        Some(self.by_name[place])
    }

    /// Returns the nodes from which an edge leads to this one, ascending.
    pub fn parents(&self, node: usize) -> &[usize] {
        self.parents.of(node)
    }

    /// Returns the nodes to which an edge leads from this one, ascending.
    pub fn children(&self, node: usize) -> &[usize] {
        self.children.of(node)
    }

    /// Returns every edge as (from, to), ascending.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.len()).flat_map(|from| self.children(from).iter().map(move |to| (from, *to)))
    }

    /// Returns the level of every node: the number of edges on the longest way to it from a root.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// Returns the nodes without parents, ascending.
    pub fn roots(&self) -> Vec<usize> {
        (0..self.len())
            .filter(|node| self.parents(*node).is_empty())
            .collect()
    }

    /// Returns the nodes without children, ascending.
    pub fn leaves(&self) -> Vec<usize> {
        (0..self.len())
            .filter(|node| self.children(*node).is_empty())
            .collect()
    }

    /// Returns all nodes, each after its parents; where several could come next, the lowest does.
    pub fn topological_order(&self) -> &[usize] {
        &self.order
    }

    /// Returns the nodes from which a way leads to this one, ascending, without the node itself.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn ancestors(&self, node: usize) -> Vec<usize> {
        reachable(node, self.len(), &self.parents)
    }

    /// Returns the nodes to which a way leads from this one, ascending, without the node itself.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn descendants(&self, node: usize) -> Vec<usize> {
        reachable(node, self.len(), &self.children)
    }
}

fn reachable(start: usize, nodes: usize, neighbours: &Adjacency) -> Vec<usize> {
    let mut seen = vec![false; nodes];
    let mut waiting = vec![start];
    let mut found = Vec::new();
    while let Some(node) = waiting.pop() {
        for neighbour in neighbours.of(node) {
            if !std::mem::replace(&mut seen[*neighbour], true) {
                found.push(*neighbour);
                waiting.push(*neighbour);
            }
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ways of different length from `start` to `end`, and a node on its own.
    fn sample() -> Dag {
        let names = ["end", "start", "short", "long_one", "long_two", "alone"];
        Dag::build(names, [(1, 2), (2, 0), (1, 3), (3, 4), (4, 0)]).unwrap()
    }

    #[test]
    fn nodes_are_found_by_name() {
        let dag = sample();
        for node in 0..dag.len() {
            assert_eq!(dag.index_of(dag.name(node)), Some(node));
        }
        assert_eq!(dag.index_of("nowhere"), None);
    }

    #[test]
    fn the_level_is_the_longest_way_from_a_root() {
        assert_eq!(sample().levels(), [3, 0, 1, 1, 2, 0]);
    }

    #[test]
    fn the_lowest_of_the_available_nodes_comes_first() {
        assert_eq!(sample().topological_order(), [1, 2, 3, 4, 0, 5]);
    }

    #[test]
    fn neighbours_are_ascending() {
        let dag = sample();
        assert_eq!(dag.parents(0), [2, 4]);
        assert_eq!(dag.children(1), [2, 3]);
        assert_eq!(
            dag.edges().collect::<Vec<_>>(),
            [(1, 2), (1, 3), (2, 0), (3, 4), (4, 0)]
        );
    }

    #[test]
    fn a_lone_node_is_root_and_leaf() {
        let dag = sample();
        assert_eq!(dag.roots(), [1, 5]);
        assert_eq!(dag.leaves(), [0, 5]);
        assert!(dag.ancestors(5).is_empty() && dag.descendants(5).is_empty());
    }

    #[test]
    fn relatives_do_not_include_the_node() {
        let dag = sample();
        assert_eq!(dag.ancestors(0), [1, 2, 3, 4]);
        assert_eq!(dag.descendants(3), [0, 4]);
    }

    #[test]
    fn an_empty_graph_is_a_graph() {
        let dag = Dag::build::<&str>([], []).unwrap();
        assert!(dag.is_empty() && dag.roots().is_empty() && dag.topological_order().is_empty());
        assert_eq!(dag.index_of("a"), None);
    }

    #[test]
    fn a_graph_without_nodes_is_empty() {
        assert!(Dag::build(Vec::<String>::new(), []).unwrap().is_empty());
        assert!(!sample().is_empty());
    }
}
