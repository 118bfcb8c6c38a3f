//! The answers of random graphs against the definitions, computed in the most naive way.

use proptest::prelude::*;

use crate::{Dag, DagError};

type Edges = Vec<(usize, usize)>;

/// Any graph of few nodes without edges to themselves: about half have a cycle.
fn graphs() -> impl Strategy<Value = (usize, Edges)> {
    (1usize..12).prop_flat_map(|count| {
        let edges = proptest::collection::btree_set((0..count, 0..count), 0..count * 2);
        (
            Just(count),
            edges.prop_map(|edges| edges.into_iter().filter(|(from, to)| from != to).collect()),
        )
    })
}

/// Graphs without cycles, whose edges do not follow the order of the nodes.
fn acyclic_graphs() -> impl Strategy<Value = (usize, Edges)> {
    graphs().prop_flat_map(|(count, edges)| {
        let ranks = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        (Just(count), Just(edges), ranks).prop_map(|(count, edges, ranks)| {
            let edges = edges
                .into_iter()
                .filter(|(from, to)| ranks[*from] < ranks[*to])
                .collect();
            (count, edges)
        })
    })
}

fn build(count: usize, edges: &Edges) -> Result<Dag, DagError> {
    Dag::build((0..count).map(|node| node.to_string()), edges.iter().copied())
}

/// Whether a way of at least one edge leads from one node to another.
fn reach(count: usize, edges: &Edges) -> Vec<Vec<bool>> {
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

/// The number of edges on the shortest way, for every pair that has one.
fn distances(count: usize, edges: &Edges) -> Vec<Vec<Option<usize>>> {
    let mut distance = vec![vec![None; count]; count];
    for (start, row) in distance.iter_mut().enumerate() {
        let mut reached = vec![start];
        for length in 1..=count {
            reached = (0..count)
                .filter(|to| reached.iter().any(|from| edges.contains(&(*from, *to))))
                .inspect(|to| row[*to] = row[*to].or(Some(length)))
                .collect();
        }
    }
    distance
}

/// The number of edges on the longest way that ends in a node.
fn longest(node: usize, edges: &Edges) -> u32 {
    let parents = edges.iter().filter(|(_, to)| *to == node);
    parents
        .map(|(from, _)| longest(*from, edges) + 1)
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn answers_follow_their_definitions((count, edges) in acyclic_graphs()) {
        let dag = build(count, &edges).unwrap();
        let reach = reach(count, &edges);
        let leads = |from: usize, to: usize| reach[from][to];
        let has = |from, to| edges.contains(&(from, to));
        prop_assert_eq!(dag.edges().collect::<Edges>(), edges.clone());
        for node in 0..count {
            let all = |keep: &dyn Fn(usize) -> bool| (0..count).filter(|other| keep(*other)).collect::<Vec<_>>();
            prop_assert_eq!(dag.parents(node), all(&|other| has(other, node)));
            prop_assert_eq!(dag.children(node), all(&|other| has(node, other)));
            prop_assert_eq!(dag.ancestors(node), all(&|other| leads(other, node)));
            prop_assert_eq!(dag.descendants(node), all(&|other| leads(node, other)));
            prop_assert_eq!(dag.levels()[node], longest(node, &edges));
            prop_assert_eq!(dag.roots().contains(&node), (0..count).all(|other| !has(other, node)));
            prop_assert_eq!(dag.leaves().contains(&node), (0..count).all(|other| !has(node, other)));
            prop_assert_eq!(dag.index_of(dag.name(node)), Some(node));
        }
    }

    #[test]
    fn the_order_always_takes_the_lowest_available_node((count, edges) in acyclic_graphs()) {
        let mut naive: Vec<usize> = Vec::new();
        while naive.len() < count {
            let next = (0..count).find(|node| {
                let done = |other: &usize| naive.contains(other);
                !done(node) && edges.iter().filter(|(_, to)| to == node).all(|(from, _)| done(from))
            });
            naive.extend(next);
        }
        let dag = build(count, &edges).unwrap();
        prop_assert_eq!(dag.topological_order(), naive);
    }

    #[test]
    fn the_order_of_the_edges_does_not_matter(
        ((count, edges), shuffled) in graphs().prop_flat_map(|(count, edges)| {
            (Just((count, edges.clone())), Just(edges).prop_shuffle())
        })
    ) {
        match (build(count, &edges), build(count, &shuffled)) {
            (Ok(left), Ok(right)) => prop_assert_eq!(format!("{left:?}"), format!("{right:?}")),
            (left, right) => prop_assert_eq!(left.err(), right.err()),
        }
    }

    #[test]
    fn cycles_are_cycles_one_of_each_component_and_shortest((count, edges) in graphs()) {
        let reach = reach(count, &edges);
        let distances = distances(count, &edges);
        // The first node of every component that has a cycle.
        let starts: Vec<usize> = (0..count)
            .filter(|node| reach[*node][*node] && !(0..*node).any(|other| reach[*node][other] && reach[other][*node]))
            .collect();
        match build(count, &edges) {
            Ok(_) => prop_assert!(starts.is_empty()),
            Err(DagError::Cycles { cycles }) => {
                prop_assert_eq!(cycles.len(), starts.len());
                for (cycle, start) in cycles.iter().zip(starts) {
                    let nodes: Vec<usize> = cycle.iter().map(|name| name.parse().unwrap()).collect();
                    prop_assert_eq!(nodes[0], start);
                    prop_assert_eq!(Some(nodes.len()), distances[start][start]);
                    for (index, node) in nodes.iter().enumerate() {
                        prop_assert!(edges.contains(&(*node, nodes[(index + 1) % nodes.len()])));
                    }
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
