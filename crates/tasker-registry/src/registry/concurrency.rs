//! Many threads on one registry. Each test ends after a fixed number of changes, whatever the threads' luck.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

const CHANGES: usize = 2_000;

fn place(namespace: &str) -> (Namespace, HandlerName) {
    (
        Namespace::new(namespace).unwrap(),
        HandlerName::new("handler").unwrap(),
    )
}

/// Runs readers for as long as the writer works, at least once each.
fn while_writing(write: impl FnOnce(), read: impl Fn() + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let last = done.load(Ordering::Acquire);
                    read();
                    if last {
                        break;
                    }
                }
            });
        }
        write();
        done.store(true, Ordering::Release);
    });
}

#[test]
fn readers_never_see_half_a_batch() {
    let registry = Registry::<usize>::new();
    let put = |number: usize| {
        let fill = |batch: &mut Batch<usize>| {
            batch.replace("left", "handler", "1.0.0", Arc::new(number));
            batch.replace("right", "handler", "1.0.0", Arc::new(number));
        };
        registry.batch(fill).unwrap();
    };
    put(0);
    let ((left, name), (right, _)) = (place("left"), place("right"));
    while_writing(
        || (1..=CHANGES).for_each(put),
        || {
            let snapshot = registry.snapshot();
            assert_eq!(
                snapshot.get(&left, &name).unwrap().1,
                snapshot.get(&right, &name).unwrap().1
            );
            // Two loads, so the second may be newer but never older.
            let first = registry.get(&left, &name).unwrap().1;
            assert!(registry.get(&right, &name).unwrap().1 >= first);
        },
    );
    assert_eq!(*registry.get(&left, &name).unwrap().1, CHANGES);
}

#[test]
fn a_handler_that_moves_is_always_in_one_place() {
    let registry = Registry::<()>::new();
    let (places, version) = ([place("left"), place("right")], Version::new(1, 0, 0));
    registry
        .register_in("left", "handler", "1.0.0", Arc::new(()))
        .unwrap();
    while_writing(
        || {
            for turn in 0..CHANGES {
                let ((from, name), (to, _)) = (&places[turn % 2], &places[(turn + 1) % 2]);
                let fill = |batch: &mut Batch<()>| {
                    batch.remove(from, name, &version);
                    batch.register_in(to, name, &version, Arc::new(()));
                };
                registry.batch(fill).unwrap();
            }
        },
        || assert_eq!(registry.stats().versions, 1),
    );
}

#[test]
fn no_change_is_lost_among_writers() {
    let registry = Registry::<()>::new();
    thread::scope(|scope| {
        for writer in 0..4 {
            let registry = &registry;
            scope.spawn(move || {
                for number in 0..100 {
                    registry
                        .register(format!("h{writer}_{number}"), Arc::new(()))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(registry.stats().handlers, 400);
}

#[test]
fn one_of_several_writers_gets_a_place() {
    let registry = Registry::<usize>::new();
    let accepted: Vec<usize> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let registry = &registry;
                scope.spawn(move || {
                    registry
                        .register("handler", Arc::new(writer))
                        .ok()
                        .map(|()| writer)
                })
            })
            .collect();
        writers
            .into_iter()
            .filter_map(|writer| writer.join().unwrap())
            .collect()
    });
    let (_, name) = place("left");
    assert_eq!(accepted, [*registry.get(&Namespace::default(), &name).unwrap().1]);
}

#[test]
fn a_handler_may_use_the_registry_as_it_ends() {
    struct Leaving(Arc<Registry<Leaving>>);
    impl Drop for Leaving {
        fn drop(&mut self) {
            let _ = self
                .0
                .remove(&place("left").0, &place("left").1, &Version::new(9, 0, 0));
        }
    }
    let registry = Arc::new(Registry::new());
    let leaving = || Arc::new(Leaving(Arc::clone(&registry)));
    registry.register("handler", leaving()).unwrap();
    // Refused, replaced and removed handlers all end here, with the lock free.
    assert!(registry.register("handler", leaving()).is_err());
    drop(
        registry
            .replace("default_system", "handler", "0.1.0", leaving())
            .unwrap(),
    );
    let (_, name) = place("left");
    drop(
        registry
            .remove(&Namespace::default(), &name, &Version::new(0, 1, 0))
            .unwrap(),
    );
    assert_eq!(registry.stats(), Stats::default());
}
