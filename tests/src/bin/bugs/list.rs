//! The mistakes that can be compiled in. The numbers are those of `tasker_types::bug` in the sources.

use std::fmt;

use tests::StoreKind;
use tests::crash_points::Place;

/// A mistake.
pub(crate) struct Bug {
    pub(crate) number: u32,
    /// What goes wrong.
    pub(crate) what: &'static str,
    /// How it is found.
    pub(crate) found: Found,
}

/// How a mistake is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// By a simulation on this store.
    Simulated(StoreKind),
    /// By faults at the statements of this store, in the parts of the script with this name.
    AtPoints(Place, &'static str),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated(store) => fmt::Display::fmt(store, f),
            Self::AtPoints(place, _) => f.pad(&place.to_string()),
        }
    }
}

const fn bug(number: u32, store: StoreKind, what: &'static str) -> Bug {
    let found = Found::Simulated(store);
    Bug { number, what, found }
}

const fn point_bug(number: u32, place: Place, part: &'static str, what: &'static str) -> Bug {
    let found = Found::AtPoints(place, part);
    Bug { number, what, found }
}

/// Every mistake.
pub(crate) const ALL: &[Bug] = &[
    bug(1, StoreKind::Memory, "a task is completed while steps run"),
    bug(2, StoreKind::Memory, "no task is ever finalized"),
    bug(3, StoreKind::Memory, "the last child is not told"),
    bug(4, StoreKind::Memory, "a child is told twice"),
    bug(
        5,
        StoreKind::Memory,
        "children are queued before their parents are done",
    ),
    bug(
        6,
        StoreKind::Memory,
        "steps are queued that may not be tried again",
    ),
    bug(7, StoreKind::Memory, "a failed step is not queued again"),
    bug(8, StoreKind::Memory, "the count of live steps only grows"),
    bug(9, StoreKind::Memory, "attempts are not counted"),
    bug(10, StoreKind::Memory, "claims are not counted"),
    bug(11, StoreKind::Memory, "a released attempt stays charged"),
    bug(12, StoreKind::Memory, "a reset keeps the attempts"),
    bug(13, StoreKind::Memory, "a reset keeps a failure permanent"),
    bug(14, StoreKind::Memory, "a reset keeps the checkpoint"),
    bug(15, StoreKind::Memory, "an ended step keeps its lease"),
    bug(16, StoreKind::Memory, "children are told of a cancelled parent"),
    bug(
        17,
        StoreKind::Memory,
        "children are not told of a resolved parent",
    ),
    bug(18, StoreKind::Memory, "the end of a lease is not in the history"),
    bug(20, StoreKind::Memory, "a failed task does not say why"),
    bug(21, StoreKind::Memory, "the queue does not follow the task"),
    bug(22, StoreKind::Memory, "a wake-up is lost"),
    bug(23, StoreKind::Memory, "a permanent failure is tried again"),
    bug(24, StoreKind::Memory, "a failed step is due at once"),
    bug(
        25,
        StoreKind::Memory,
        "an interrupt at the last attempt is no error",
    ),
    bug(
        27,
        StoreKind::Memory,
        "no fence: any outcome is taken for a held step",
    ),
    bug(28, StoreKind::Memory, "an outcome is taken after the lease"),
    bug(29, StoreKind::Memory, "a lost lease is renewed"),
    bug(30, StoreKind::Memory, "a cancel is ignored by renewals"),
    bug(31, StoreKind::Memory, "a renewal extends nothing"),
    bug(32, StoreKind::Memory, "leases end a second early"),
    bug(33, StoreKind::Memory, "leases never end"),
    bug(34, StoreKind::Memory, "a lost lease is tried again at once"),
    bug(35, StoreKind::Memory, "leases are half as long as promised"),
    bug(36, StoreKind::Memory, "one step too many is handed out"),
    bug(37, StoreKind::Memory, "the scope of a worker is ignored"),
    bug(38, StoreKind::Memory, "steps are handed out before their time"),
    bug(
        39,
        StoreKind::Memory,
        "a child is given the result of another step",
    ),
    bug(40, StoreKind::Memory, "a checkpoint is lost"),
    bug(41, StoreKind::Memory, "a result is lost"),
    bug(42, StoreKind::Memory, "a late result replaces the first"),
    bug(43, StoreKind::Memory, "an outcome that is sent again is refused"),
    bug(44, StoreKind::Memory, "a suspended step is due at once"),
    bug(45, StoreKind::Memory, "deadlines are ignored"),
    bug(46, StoreKind::Memory, "steps of a cancelled task go on"),
    bug(
        47,
        StoreKind::Memory,
        "a task stays in error though work became possible",
    ),
    point_bug(
        80,
        Place::Postgres,
        "RetryTask",
        "a demand whose answer was lost is made again",
    ),
    bug(48, StoreKind::Memory, "a new retry limit is not kept"),
    bug(49, StoreKind::Memory, "first steps are not queued"),
    bug(50, StoreKind::Memory, "a repeated creation creates again"),
    bug(51, StoreKind::Memory, "parents are not counted"),
    bug(52, StoreKind::Memory, "a first start in the future is ignored"),
    bug(53, StoreKind::Memory, "the backoff is that of the next attempt"),
    bug(54, StoreKind::Memory, "Retry-After is ignored"),
    bug(55, StoreKind::Memory, "the jitter is as long as the wait"),
    bug(56, StoreKind::Memory, "a timeout is ignored"),
    bug(60, StoreKind::Sqlite, "children are told twice"),
    bug(61, StoreKind::Sqlite, "children are not told"),
    bug(63, StoreKind::Sqlite, "an outcome is taken after the lease"),
    bug(64, StoreKind::Sqlite, "a reset keeps the attempts"),
    bug(65, StoreKind::Sqlite, "what was handed out stays in the queue"),
    bug(68, StoreKind::Sqlite, "what others wrote is not noticed"),
    bug(70, StoreKind::Sqlite, "the count of live steps is off"),
    bug(71, StoreKind::Sqlite, "leases end a second early"),
    bug(72, StoreKind::Sqlite, "a failed step is due at once"),
    bug(73, StoreKind::Sqlite, "a result is lost"),
    bug(74, StoreKind::Sqlite, "steps of a cancelled task go on"),
    bug(
        75,
        StoreKind::Sqlite,
        "a task stays in error though work became possible",
    ),
];
