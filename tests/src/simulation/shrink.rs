//! Looks for the smallest run in which something still goes wrong.

use std::sync::Arc;

use tasker_engine::Clock;

use super::{Run, Temper, play_with};
use crate::stores::Opened;

/// How many runs are played in search of a smaller one.
const RUNS: u32 = 400;

/// Plays milder and milder runs of a seed as long as something goes wrong in them.
///
/// Returns the mildest that was found and how it ended; nothing when the seed's own run is as it should be.
///
/// # Errors
///
/// When no runtime can be made.
pub fn shrink(
    seed: u64,
    temper: Temper,
    open: impl Fn(Arc<dyn Clock>) -> Opened,
) -> std::io::Result<Option<(Temper, Run)>> {
    let mut best = (temper, play_with(seed, temper, &open)?);
    if best.1.problems.is_empty() {
        return Ok(None);
    }
    let mut left = RUNS;
    loop {
        let mut found = None;
        for milder in best.0.milder() {
            if left == 0 {
                break;
            }
            left -= 1;
            let run = play_with(seed, milder, &open)?;
            if !run.problems.is_empty() {
                found = Some((milder, run));
                break;
            }
        }
        match found {
            Some(milder) => best = milder,
            None => return Ok(Some(best)),
        }
    }
}
