//! Work that is done on all cores.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does something so many times, on all cores, and returns the sum of what came of it.
///
/// # Errors
///
/// If it panicked.
pub(crate) fn on_all_cores<S: Default + AddAssign + Send>(
    times: usize,
    work: impl Fn(usize) -> S + Sync,
) -> anyhow::Result<S> {
    let next = AtomicUsize::new(0);
    let work_some = || {
        let mut sum = S::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= times {
                return sum;
            }
            sum += work(number);
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work_some)).collect();
        let mut sum = S::default();
        for thread in running {
            sum += thread
                .join()
                .map_err(|_| anyhow::anyhow!("what is compared, or its comparison, panicked"))?;
        }
        Ok(sum)
    })
}
