//! The cycles of a graph that has some.

use std::collections::{BTreeSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::adjacency::Adjacency;

/// The mark of a node that no search has come to.
const NOWHERE: usize = usize::MAX;

/// Returns one cycle for each strongly connected component that has one, ordered by their first nodes.
///
/// Each begins with the lowest node of its component and is a shortest one through it. There are no edges from a node
/// to itself.
///
/// # Complexity
///
/// O(V + E).
pub(crate) fn cycles(nodes: usize, children: &Adjacency) -> Vec<Vec<usize>> {
    let components = components(nodes, children, 0);
    let mut component_of = vec![NOWHERE; nodes];
    let mut starts = Vec::new();
    for (number, members) in components.iter().enumerate() {
        for member in members {
            component_of[member.index()] = number;
        }
        if members.len() > 1 {
            starts.extend(members.iter().map(|member| member.index()).min());
        }
    }
    starts.sort_unstable();
    // Components are disjoint and a search stays in its own, so that all searches can share one array.
    let mut came_from = vec![NOWHERE; nodes];
    starts
        .into_iter()
        .map(|start| shortest_cycle(start, children, &component_of, &mut came_from))
        .collect()
}

/// Kosaraju's algorithm, since the library's Tarjan recurses and a deep graph would overflow the stack.
///
/// Nodes before `first` are left out: each is a component without edges.
fn components(nodes: usize, children: &Adjacency, first: usize) -> Vec<Vec<NodeIndex<usize>>> {
    let mut graph: DiGraph<(), (), usize> = DiGraph::default();
    for _ in 0..nodes {
        graph.add_node(());
    }
    for from in first..nodes {
        for to in children.of(from).iter().filter(|to| **to >= first) {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(*to), ());
        }
    }
    kosaraju_scc(&graph)
}

/// Searches in breadth from `start` within its component until an edge leads back.
fn shortest_cycle(
    start: usize,
    children: &Adjacency,
    component_of: &[usize],
    came_from: &mut [usize],
) -> Vec<usize> {
    let mut cycle = Vec::new();
    let mut waiting = VecDeque::from([start]);
    'search: while let Some(node) = waiting.pop_front() {
        for child in children.of(node).iter().copied() {
            if child == start {
                cycle.push(node);
                break 'search;
            }
            if component_of[child] == component_of[start] && came_from[child] == NOWHERE {
                came_from[child] = node;
                waiting.push_back(child);
            }
        }
    }
    while let Some(node) = cycle.last().copied().filter(|node| *node != start) {
        cycle.push(came_from[node]);
    }
    cycle.reverse();
    cycle
}

/// Returns elementary cycles, at most so many, and whether these are all.
///
/// Each is found once and begins with its lowest node; edges from a node to itself are cycles, too.
///
/// # Complexity
///
/// O((V + E)(c + 1)) for the c cycles that are returned: the algorithm of Johnson, without recursion.
pub(crate) fn elementary_cycles(nodes: usize, children: &Adjacency, most: usize) -> (Vec<Vec<usize>>, bool) {
    let mut found = Vec::new();
    let mut search = Search {
        children,
        within: vec![false; nodes],
        blocked: vec![false; nodes],
        blocks: vec![BTreeSet::new(); nodes],
    };
    let mut first = 0;
    while let Some(component) = lowest_component(nodes, children, first) {
        let start = component[0];
        for node in &component {
            search.within[*node] = true;
            search.blocked[*node] = false;
            search.blocks[*node].clear();
        }
        let is_whole = search.from(start, most, &mut found);
        for node in &component {
            search.within[*node] = false;
        }
        if !is_whole {
            return (found, false);
        }
        first = start + 1;
    }
    (found, true)
}

/// Returns the component with a cycle that has the lowest node, ascending; nodes before `first` do not count.
fn lowest_component(nodes: usize, children: &Adjacency, first: usize) -> Option<Vec<usize>> {
    let has_cycle = |members: &Vec<NodeIndex<usize>>| {
        members.len() > 1 || children.of(members[0].index()).contains(&members[0].index())
    };
    let lowest = |members: &Vec<NodeIndex<usize>>| members.iter().map(|member| member.index()).min();
    let component = components(nodes, children, first)
        .into_iter()
        .filter(|members| lowest(members) >= Some(first) && has_cycle(members))
        .min_by_key(lowest)?;
    let mut component: Vec<usize> = component.into_iter().map(NodeIndex::index).collect();
    component.sort_unstable();
    Some(component)
}

/// The state of Johnson's search.
struct Search<'a> {
    children: &'a Adjacency,
    /// Whether a node belongs to the component that is searched.
    within: Vec<bool>,
    /// Whether no way from a node leads back to the start without a node of the path.
    blocked: Vec<bool>,
    /// Which nodes are no longer blocked when a node no longer is.
    blocks: Vec<BTreeSet<usize>>,
}

impl Search<'_> {
    /// Finds all cycles through the start; tells whether there was room for all.
    fn from(&mut self, start: usize, most: usize, found: &mut Vec<Vec<usize>>) -> bool {
        // A node of the path, which of its children comes next, and whether a cycle was found beyond it.
        let mut path = vec![(start, 0, false)];
        self.blocked[start] = true;
        while let Some((node, next, has_cycle)) = path.last_mut() {
            let (node, turn) = (*node, *next);
            if let Some(child) = self.children.of(node).get(turn).copied() {
                *next += 1;
                if !self.within[child] {
                    continue;
                }
                if child == start {
                    *has_cycle = true;
                    if found.len() == most {
                        return false;
                    }
                    found.push(path.iter().map(|(node, ..)| *node).collect());
                } else if !self.blocked[child] {
                    self.blocked[child] = true;
                    path.push((child, 0, false));
                }
                continue;
            }
            let has_cycle = *has_cycle;
            path.pop();
            if has_cycle {
                self.unblock(node);
                if let Some((_, _, above)) = path.last_mut() {
                    *above = true;
                }
            } else {
                for child in self.children.of(node).iter().filter(|child| self.within[**child]) {
                    self.blocks[*child].insert(node);
                }
            }
        }
        true
    }

    fn unblock(&mut self, node: usize) {
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop() {
            if std::mem::replace(&mut self.blocked[node], false) {
                waiting.extend(std::mem::take(&mut self.blocks[node]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjacency(nodes: usize, edges: &[(usize, usize)]) -> Adjacency {
        Adjacency::new(nodes, edges.iter().copied())
    }

    /// Finds every cycle by trying every path from its lowest node.
    fn by_force(nodes: usize, children: &Adjacency) -> BTreeSet<Vec<usize>> {
        let mut cycles = BTreeSet::new();
        for start in 0..nodes {
            let mut open = vec![vec![start]];
            while let Some(path) = open.pop() {
                for child in children.of(path[path.len() - 1]).iter().copied() {
                    if child == start {
                        cycles.insert(path.clone());
                    } else if child > start && !path.contains(&child) {
                        open.push([path.clone(), vec![child]].concat());
                    }
                }
            }
        }
        cycles
    }

    #[test]
    fn every_cycle_of_every_graph_of_four_nodes_is_found_once() {
        let pairs: Vec<(usize, usize)> = (0..4).flat_map(|from| (0..4).map(move |to| (from, to))).collect();
        for set in 0_u32..1 << pairs.len() {
            let chosen = pairs.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            let edges: Vec<_> = chosen.map(|(_, pair)| *pair).collect();
            let children = adjacency(4, &edges);
            let (cycles, is_all) = elementary_cycles(4, &children, 1_000);
            let count = cycles.len();
            assert!(is_all);
            let cycles: BTreeSet<_> = cycles.into_iter().collect();
            assert_eq!(cycles.len(), count);
            assert_eq!(cycles, by_force(4, &children));
        }
    }

    #[test]
    fn no_more_cycles_than_wanted_are_looked_for() {
        let edges: Vec<_> = (0..20)
            .flat_map(|from| (0..20).map(move |to| (from, to)))
            .collect();
        let children = adjacency(20, &edges);
        let (cycles, is_all) = elementary_cycles(20, &children, 100);
        assert_eq!((cycles.len(), is_all), (100, false));
        let (cycles, is_all) = elementary_cycles(2, &adjacency(2, &[(0, 1), (1, 0), (1, 1)]), 2);
        assert_eq!((cycles, is_all), (vec![vec![0, 1], vec![1]], true));
    }

    #[test]
    fn a_ring_of_many_nodes_is_one_cycle() {
        let edges: Vec<_> = (0..100_000).map(|node| (node, (node + 1) % 100_000)).collect();
        let (cycles, is_all) = elementary_cycles(100_000, &adjacency(100_000, &edges), 10);
        assert_eq!((cycles.len(), cycles[0].len(), is_all), (1, 100_000, true));
    }
}
