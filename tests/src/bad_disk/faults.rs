//! What a disk can do wrong.

use std::fmt;

use super::trace::{Counts, is_short};

/// What is asked of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A file is opened.
    Open,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// What was written is to be on the disk.
    Sync,
    /// A file is to be on the disk, with what is known of it.
    SyncAll,
    /// The size of a file is changed.
    Truncate,
    /// A file is removed.
    Remove,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::SyncAll,
        Self::Truncate,
        Self::Remove,
    ];

    /// Returns what the system calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "openat",
            Self::Read => "pread64",
            Self::Write => "pwrite64",
            Self::Sync => "fdatasync",
            Self::SyncAll => "fsync",
            Self::Truncate => "ftruncate",
            Self::Remove => "unlink",
        }
    }

    fn ways(self) -> &'static [Way] {
        match self {
            Self::Open | Self::Read => &[Way::Once("EIO")],
            Self::Write => &[Way::Once("EIO"), Way::FromThenOn("ENOSPC"), Way::Kill],
            Self::Sync | Self::SyncAll => &[Way::Once("EIO"), Way::FromThenOn("EIO"), Way::Kill],
            Self::Truncate | Self::Remove => &[Way::Once("EIO"), Way::Kill],
        }
    }
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With this error, once in each thread.
    Once(&'static str),
    /// With this error, from then on in each thread.
    FromThenOn(&'static str),
    /// The process is killed.
    Kill,
}

/// What goes wrong in one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A call fails.
    Fails {
        /// Which.
        call: Call,
        /// The first one that does, from 1, in each thread.
        number: usize,
        /// How.
        way: Way,
    },
    /// No file can grow beyond this: the write that would is cut short, and those after it fail.
    Limit {
        /// The bytes.
        bytes: u64,
    },
}

/// Returns every fault that a life with so many calls can meet.
pub fn faults(counts: &Counts) -> Vec<Fault> {
    let mut faults = Vec::new();
    for call in Call::ALL {
        for number in 1..=counts.of_call(call.name()) {
            let fails = |way: &Way| Fault::Fails {
                call,
                number,
                way: *way,
            };
            faults.extend(call.ways().iter().map(fails));
        }
    }
    let limits = (SMALLEST..counts.size()).step_by(STEP);
    faults.extend(limits.map(|bytes| Fault::Limit { bytes }));
    faults
}

/// The smallest limit of a file: the log of a life must fit, and what the processes share in memory.
const SMALLEST: u64 = 33_000;

/// By how much limits differ, so that they end in all parts of pages and of their headers.
const STEP: usize = 2_999;

impl Fault {
    /// Returns what `strace` is told.
    pub(super) fn arguments(&self) -> [String; 4] {
        let option = || "-e".to_owned();
        match self {
            Self::Fails { call, number, way } => {
                let name = call.name();
                let how = match way {
                    Way::Once(error) => format!("error={error}:when={number}"),
                    Way::FromThenOn(error) => format!("error={error}:when={number}+"),
                    Way::Kill => format!("signal=KILL:when={number}"),
                };
                [
                    option(),
                    format!("trace={name}"),
                    option(),
                    format!("inject={name}:{how}"),
                ]
            }
            Self::Limit { .. } => {
                let name = Call::Write.name();
                [
                    option(),
                    format!("trace={name}"),
                    option(),
                    "status=all".to_owned(),
                ]
            }
        }
    }

    /// Returns the largest size of a file, or 0.
    pub(super) fn limit(&self) -> u64 {
        match self {
            Self::Fails { .. } => 0,
            Self::Limit { bytes } => *bytes,
        }
    }

    pub(super) fn kills(&self) -> bool {
        matches!(self, Self::Fails { way: Way::Kill, .. })
    }

    /// Returns how often it happened, by what `strace` saw.
    pub(super) fn happened(&self, trace: &str) -> usize {
        let did = |line: &&str| match self {
            // `strace` may end with the process before it tells so; the call in which that did has no answer.
            Self::Fails { way: Way::Kill, .. } => line.contains("killed by SIGKILL") || line.ends_with("= ?"),
            Self::Fails { .. } => line.ends_with("(INJECTED)"),
            Self::Limit { .. } => line.contains(" EFBIG ") || is_short(line),
        };
        trace.lines().filter(did).count()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails { call, number, way } => {
                let name = call.name();
                match way {
                    Way::Once(error) => write!(f, "{error} of {name} {number}"),
                    Way::FromThenOn(error) => write!(f, "{error} of {name} from {number} on"),
                    Way::Kill => write!(f, "the process killed at {name} {number}"),
                }
            }
            Self::Limit { bytes } => write!(f, "no file larger than {bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_an_answer_tells_of_a_process_that_was_killed() {
        let killed = Fault::Fails {
            call: Call::Truncate,
            number: 1,
            way: Way::Kill,
        };
        assert_eq!(killed.happened("17 ftruncate(11</d/a>, 4096)             = ?"), 1);
        assert_eq!(killed.happened("17 +++ killed by SIGKILL +++"), 1);
        assert_eq!(
            killed.happened("17 ftruncate(11</d/a>, 4096) = 0\n17 +++ exited with 0 +++"),
            0
        );
    }
}
