//! Building a graph, with every fault of its nodes and edges in one report.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::adjacency::Adjacency;
use crate::cycles::cycles;
use crate::dag::Dag;
use crate::error::DagError;

impl Dag {
    /// Builds the graph of these nodes and edges.
    ///
    /// A node is its name, which no other node has; its number is its place. An edge is (from, to), by these numbers,
    /// and is given once.
    ///
    /// # Errors
    ///
    /// All faults: [`DagError::faults`] lists them. Edges that are refused are left out of the search for cycles.
    ///
    /// # Complexity
    ///
    /// O((V + E) log V), on the heap only.
    pub fn build<N: AsRef<str>>(
        names: impl IntoIterator<Item = N>,
        edges: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Dag, DagError> {
        let names: Vec<Box<str>> = names.into_iter().map(|name| name.as_ref().into()).collect();
        let nodes = names.len();
        let mut faults = Vec::new();
        let by_name = sort_names(&names, &mut faults);
        let edges = check_edges(&names, edges.into_iter().collect(), &mut faults);
        // The edges are sorted by where they begin, so both lists come out ascending.
        let children = Adjacency::new(nodes, edges.iter().copied());
        let parents = Adjacency::new(nodes, edges.iter().map(|(from, to)| (*to, *from)));
        drop(edges);

        let (order, levels) = sort_nodes(nodes, &parents, &children);
        if order.len() < nodes {
            let named = |cycle: Vec<usize>| cycle.into_iter().map(|node| names[node].to_string()).collect();
            faults.push(DagError::Cycles {
                cycles: cycles(nodes, &children).into_iter().map(named).collect(),
            });
        }
        match DagError::of(faults) {
            Some(error) => Err(error),
            None => Ok(Dag {
                names,
                by_name,
                parents,
                children,
                levels,
                order,
            }),
        }
    }
}

/// Returns the nodes in the order of their names, and notes each name that several have.
fn sort_names(names: &[Box<str>], faults: &mut Vec<DagError>) -> Vec<usize> {
    let mut by_name: Vec<usize> = (0..names.len()).collect();
    by_name.sort_by(|left, right| names[*left].cmp(&names[*right]));
    // The sort is stable, so a group begins with the first node of its name.
    let mut repeated: Vec<usize> = by_name
        .chunk_by(|left, right| names[*left] == names[*right])
        .filter(|group| group.len() > 1)
        .map(|group| group[0])
        .collect();
    repeated.sort_unstable();
    faults.extend(repeated.into_iter().map(|node| DagError::DuplicateName {
        name: names[node].to_string(),
    }));
    by_name
}

/// Returns the edges that can be used, sorted, and notes the others.
fn check_edges(
    names: &[Box<str>],
    mut edges: Vec<(usize, usize)>,
    faults: &mut Vec<DagError>,
) -> Vec<(usize, usize)> {
    let nodes = names.len();
    edges.sort_unstable();
    let mut used: Vec<(usize, usize)> = Vec::with_capacity(edges.len());
    for group in edges.chunk_by(PartialEq::eq) {
        let (from, to) = group[0];
        if from >= nodes || to >= nodes {
            faults.push(DagError::UnknownNode { from, to, nodes });
        } else if from == to {
            faults.push(DagError::SelfLoop {
                name: names[from].to_string(),
            });
        } else {
            if group.len() > 1 {
                faults.push(DagError::DuplicateEdge {
                    from: names[from].to_string(),
                    to: names[to].to_string(),
                });
            }
            used.push((from, to));
        }
    }
    used
}

/// Sorts topologically, the lowest available node first, as far as cycles permit, with the levels of what it sorted.
fn sort_nodes(nodes: usize, parents: &Adjacency, children: &Adjacency) -> (Vec<usize>, Vec<u32>) {
    let mut waits: Vec<usize> = (0..nodes).map(|node| parents.of(node).len()).collect();
    let mut levels = vec![0; nodes];
    let mut order = Vec::with_capacity(nodes);
    let mut available: BinaryHeap<_> = (0..nodes).filter(|node| waits[*node] == 0).map(Reverse).collect();
    while let Some(Reverse(node)) = available.pop() {
        order.push(node);
        for child in children.of(node).iter().copied() {
            levels[child] = levels[child].max(levels[node] + 1);
            waits[child] -= 1;
            if waits[child] == 0 {
                available.push(Reverse(child));
            }
        }
    }
    (order, levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|node| format!("n{node}")).collect()
    }

    #[track_caller]
    fn refused(count: usize, edges: &[(usize, usize)], message: &str) {
        assert_eq!(
            Dag::build(numbered(count), edges.iter().copied())
                .unwrap_err()
                .to_string(),
            message
        );
    }

    #[test]
    fn a_name_belongs_to_one_node() {
        let error = Dag::build(["b", "a", "b", "b"], []).unwrap_err();
        assert_eq!(error, DagError::DuplicateName { name: "b".to_owned() });
        assert_eq!(error.to_string(), "`b` is the name of more than one node");
    }

    #[test]
    fn an_edge_needs_both_its_nodes() {
        refused(
            2,
            &[(0, 2)],
            "an edge leads from node 0 to node 2, but there are only 2 nodes",
        );
        refused(
            2,
            &[(usize::MAX, 1)],
            &format!(
                "an edge leads from node {} to node 1, but there are only 2 nodes",
                usize::MAX
            ),
        );
    }

    #[test]
    fn an_edge_is_given_once() {
        refused(
            2,
            &[(0, 1), (0, 1), (0, 1)],
            "the edge `n0` -> `n1` is given more than once",
        );
    }

    #[test]
    fn a_node_has_no_edge_to_itself() {
        refused(1, &[(0, 0)], "`n0` has an edge to itself");
    }

    #[test]
    fn a_cycle_begins_with_its_first_node_and_takes_the_shortest_way() {
        refused(3, &[(2, 1), (1, 0), (0, 2)], "a cycle: n0 -> n2 -> n1 -> n0");
        refused(
            4,
            &[(0, 1), (1, 2), (2, 3), (3, 0), (2, 0)],
            "a cycle: n0 -> n1 -> n2 -> n0",
        );
    }

    #[test]
    fn each_group_of_nodes_has_one_cycle() {
        refused(
            7,
            &[
                (0, 1),
                (1, 2),
                (2, 3),
                (3, 1),
                (2, 1),
                (4, 5),
                (5, 6),
                (6, 4),
                (3, 4),
            ],
            "cycles: n1 -> n2 -> n1; n4 -> n5 -> n6 -> n4",
        );
    }

    #[test]
    fn all_faults_come_at_once() {
        let error = Dag::build(["a", "b", "c", "a"], [(1, 1), (0, 9), (1, 2), (2, 1), (1, 2)]).unwrap_err();
        let messages: Vec<_> = error.faults().iter().map(DagError::to_string).collect();
        assert_eq!(
            messages,
            [
                "`a` is the name of more than one node",
                "an edge leads from node 0 to node 9, but there are only 4 nodes",
                "`b` has an edge to itself",
                "the edge `b` -> `c` is given more than once",
                "a cycle: b -> c -> b",
            ]
        );
        assert_eq!(error.to_string(), messages.join("; "));
    }

    #[test]
    fn a_message_does_not_grow_with_the_graph() {
        let ring = (0..100).map(|node| (node, (node + 1) % 100));
        let message = Dag::build(numbered(100), ring).unwrap_err().to_string();
        assert!(
            message.ends_with("n57 -> n58 -> (40 more) -> n99 -> n0"),
            "{message}"
        );
        let loops = (0..100).map(|node| (node, node));
        let message = Dag::build(numbered(100), loops).unwrap_err().to_string();
        assert!(
            message.ends_with("; `n59` has an edge to itself; and 40 more"),
            "{message}"
        );
    }

    /// Runs in a thread whose stack is far too small for a recursion over the nodes.
    fn with_a_small_stack(body: impl FnOnce() + Send + 'static) {
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(body)
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_chain_of_a_million_nodes_needs_no_stack() {
        with_a_small_stack(|| {
            let count = 1_000_000;
            let dag = Dag::build(numbered(count), (1..count).map(|node| (node - 1, node))).unwrap();
            assert_eq!(dag.levels()[count - 1] as usize, count - 1);
            assert_eq!(dag.topological_order()[count - 1], count - 1);
            assert_eq!(dag.ancestors(count - 1).len(), count - 1);
            assert_eq!(dag.descendants(0).len(), count - 1);
        });
    }

    #[test]
    fn a_long_cycle_needs_no_stack() {
        with_a_small_stack(|| {
            let count = 100_000;
            let ring = (0..count).map(|node| (node, (node + 1) % count));
            let DagError::Cycles { cycles } = Dag::build(numbered(count), ring).unwrap_err() else {
                panic!("no cycle")
            };
            assert_eq!(cycles, [numbered(count)]);
        });
    }
}
