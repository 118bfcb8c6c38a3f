//! The analysis of graphs beside brute force, as far as there is time in every run; `cargo xtask conformance --graphs`
//! goes further.

use tests::graphs::{Compared, Extent, Fitting, every_graph, random_graphs};

#[track_caller]
fn agree(compared: Compared, graphs: u64) {
    assert_eq!(compared.described, Vec::<String>::new());
    assert_eq!((compared.graphs, compared.differences), (graphs, 0));
    assert!(compared.states >= compared.orders && compared.orders >= graphs);
}

#[test]
fn up_to_four_steps_in_every_combination_of_states() {
    for (steps, graphs) in [1, 1, 2, 6, 31].into_iter().enumerate() {
        agree(every_graph(steps, Extent::Every(Fitting::All)).unwrap(), graphs);
    }
}

#[test]
fn five_steps_in_every_order() {
    agree(every_graph(5, Extent::OnePerOrder(Fitting::All)).unwrap(), 302);
}

#[test]
fn random_graphs_of_up_to_fourteen_steps() {
    agree(random_graphs(0..1_000, 14).unwrap(), 1_000);
}
