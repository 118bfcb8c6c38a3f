//! Seeded bugs: mistakes that are compiled in with `--cfg tasker_bug` alone, to see whether simulation and checker find
//! them. `cargo xtask bugs` does; no other build has any.

#[cfg(tasker_bug)]
static CHOSEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Tells whether the mistake of this number is made: never, unless it was compiled in and chosen.
#[cfg(tasker_bug)]
pub fn bug(number: u32) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == number
}

/// Tells whether the mistake of this number is made: never, unless it was compiled in and chosen.
#[cfg(not(tasker_bug))]
#[inline]
pub const fn bug(_number: u32) -> bool {
    false
}

/// Chooses a mistake; tells whether mistakes are compiled in.
pub fn choose_bug(number: u32) -> bool {
    #[cfg(tasker_bug)]
    CHOSEN.store(number, std::sync::atomic::Ordering::Relaxed);
    let _ = number;
    cfg!(tasker_bug)
}
