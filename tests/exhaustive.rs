//! Small worlds, as far as there is time in every run; `cargo xtask exhaustive` goes further.

use tests::exhaustive::{Bounds, Graphs, explore};

#[track_caller]
fn nothing_is_wrong(steps: usize, which: Graphs, bounds: Bounds, worlds: u64) {
    let explored = explore(steps, which, bounds).unwrap();
    assert_eq!(explored.described, Vec::<String>::new());
    assert_eq!((explored.worlds, explored.violations), (worlds, 0));
    assert!(explored.ended > 0 && explored.ended < explored.states);
    assert!(explored.transitions > explored.states);
}

#[test]
fn one_and_two_steps_in_every_order() {
    nothing_is_wrong(1, Graphs::InEveryOrder, Bounds::default(), 1);
    nothing_is_wrong(2, Graphs::InEveryOrder, Bounds::default(), 3);
}

#[test]
fn three_steps_that_are_tried_once() {
    let bounds = Bounds {
        attempts: 1,
        lapses: 1,
    };
    nothing_is_wrong(3, Graphs::UpToIsomorphism, bounds, 6);
}
