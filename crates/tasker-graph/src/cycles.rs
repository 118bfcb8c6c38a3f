//! The cycles of a graph that has some.

use std::collections::VecDeque;

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
    let components = components(nodes, children);
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
fn components(nodes: usize, children: &Adjacency) -> Vec<Vec<NodeIndex<usize>>> {
    let mut graph: DiGraph<(), (), usize> = DiGraph::default();
    for _ in 0..nodes {
        graph.add_node(());
    }
    for from in 0..nodes {
        for to in children.of(from) {
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
