//! Every order in which writers and readers can meet, by loom.

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;

use super::Present;

/// A value of two halves that belong together: how often it was changed, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Value {
    changes: usize,
    by: Vec<usize>,
}

/// A value with its count, and what was told of it.
struct Told {
    present: Present<Value, u64>,
    /// The number of each notice, with how many changes the value had when it was told.
    notices: Mutex<Vec<(u64, usize)>>,
}

impl Told {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            present: Present::new(Arc::default(), 0),
            notices: Mutex::new(Vec::new()),
        })
    }

    fn next(former: &Value, writer: usize) -> Value {
        let mut next = former.clone();
        next.changes += 1;
        next.by.push(writer);
        next
    }

    fn note(&self, number: u64, changes: usize) {
        self.notices.lock().unwrap().push((number, changes));
    }

    /// Changes the value as the registry does.
    fn change(&self, writer: usize) {
        self.present.change(
            |former| {
                let next = Self::next(former, writer);
                let changes = next.changes;
                (Some(next), changes)
            },
            |number, changes| {
                *number += 1;
                self.note(*number, changes);
                // Whoever is told can see it.
                assert_eq!(self.present.load_full().changes, changes);
            },
        );
    }

    /// Changes the value without keeping others from doing so meanwhile.
    fn change_at_once(&self, writer: usize) {
        let former = self.present.load_full();
        self.present.value.store(Arc::new(Self::next(&former, writer)));
    }

    /// Changes the value, and tells of it when others may have changed it again.
    fn change_and_tell_late(&self, writer: usize) {
        let changes = self.present.change(
            |former| {
                let next = Self::next(former, writer);
                let changes = next.changes;
                (Some(next), changes)
            },
            |_, changes| changes,
        );
        let number = self.notices.lock().unwrap().len() as u64 + 1;
        self.note(number, changes);
    }

    /// Has this many writers change the value once each, and checks what came of it.
    fn check(writers: usize, change: fn(&Self, usize)) {
        let told = Self::new();
        let running: Vec<_> = (0..writers)
            .map(|writer| {
                let told = Arc::clone(&told);
                thread::spawn(move || change(&told, writer))
            })
            .collect();
        for writer in running {
            writer.join().unwrap();
        }
        let value = told.present.load_full();
        assert_eq!(value.changes, writers, "a change is lost");
        assert_eq!(value.by.len(), writers, "a change is lost");
        let notices = told.notices.lock().unwrap();
        let in_order: Vec<_> = (1..=notices.len())
            .map(|number| (number as u64, number))
            .collect();
        assert_eq!(*notices, in_order, "notices are not in the order of the changes");
    }
}

#[test]
fn no_change_is_lost_and_notices_come_in_order() {
    loom::model(|| Told::check(2, Told::change));
}

#[test]
fn no_change_of_three_is_lost() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| Told::check(3, Told::change));
}

#[test]
fn a_reader_sees_each_change_whole_and_none_twice() {
    loom::model(|| {
        let told = Told::new();
        let writer = {
            let told = Arc::clone(&told);
            thread::spawn(move || {
                told.change(0);
                told.change(1);
            })
        };
        let first = told.present.load();
        let second = told.present.load();
        for seen in [&first, &second] {
            assert_eq!(seen.changes, seen.by.len(), "a change is seen in part");
        }
        assert!(first.changes <= second.changes, "a change is taken back");
        writer.join().unwrap();
    });
}

#[test]
fn a_change_that_is_refused_leaves_the_value_and_is_told() {
    loom::model(|| {
        let told = Told::new();
        let refused = {
            let told = Arc::clone(&told);
            thread::spawn(move || {
                told.present.change(|_| (None, ()), |number, ()| *number += 1);
            })
        };
        told.change(0);
        refused.join().unwrap();
        assert_eq!(told.present.load_full().changes, 1);
        let told = told.present.change(|_| (None, ()), |number, ()| *number);
        assert_eq!(told, 2);
    });
}

#[test]
#[should_panic(expected = "a change is lost")]
fn writers_who_do_not_wait_for_each_other_lose_changes() {
    loom::model(|| Told::check(2, Told::change_at_once));
}

#[test]
#[should_panic(expected = "notices are not in the order of the changes")]
fn what_is_told_after_the_lock_is_out_of_order() {
    loom::model(|| Told::check(2, Told::change_and_tell_late));
}
