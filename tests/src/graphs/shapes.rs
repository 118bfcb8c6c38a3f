//! The graphs: each of so many steps, as it is and with its steps in every order.

use std::collections::BTreeSet;

/// The edges of a graph, from places to places.
pub(crate) type Edges = Vec<(usize, usize)>;

/// Returns every order of so many things: for each its new place.
pub(crate) fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for next in 0..count {
        let longer = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        };
        orders = orders.into_iter().flat_map(longer).collect();
    }
    orders
}

/// Returns the edges when the steps are in another order.
pub(crate) fn reordered(edges: &[(usize, usize)], order: &[usize]) -> Edges {
    edges
        .iter()
        .map(|(from, to)| (order[*from], order[*to]))
        .collect()
}

/// Returns every graph of so many steps once, however its steps are called; the edges lead from lower to higher
/// places.
///
/// # Complexity
///
/// O(2^(n(n-1)/2)·n!·n²): a second for six steps.
pub(crate) fn graphs(count: usize) -> Vec<Edges> {
    let pairs: Edges = (0..count)
        .flat_map(|from| (from + 1..count).map(move |to| (from, to)))
        .collect();
    let orders = orders(count);
    // Of all the orders of a graph's steps, the one whose edges make the least number stands for it.
    let bit = |(from, to): &(usize, usize)| 1_u64 << (from * count + to);
    let least = |edges: &Edges| {
        let numbers = orders.iter().map(|order| {
            let bits = edges.iter().map(|(from, to)| bit(&(order[*from], order[*to])));
            bits.fold(0, |number, bit| number | bit)
        });
        numbers.min()
    };
    let mut seen = BTreeSet::new();
    (0_u64..1 << pairs.len())
        .map(|set| {
            let chosen = pairs.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            chosen.map(|(_, pair)| *pair).collect()
        })
        .filter(|edges| seen.insert(least(edges)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of acyclic graphs with unlabelled nodes are known (A003087).
    #[test]
    fn each_graph_is_there_once() {
        let counts: Vec<usize> = (0..=5).map(|count| graphs(count).len()).collect();
        assert_eq!(counts, [1, 1, 2, 6, 31, 302]);
    }

    #[test]
    fn each_order_is_there_once() {
        let orders: BTreeSet<_> = orders(4).into_iter().collect();
        assert_eq!(orders.len(), 24);
    }
}
