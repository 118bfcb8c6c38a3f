//! What may happen next.

use std::fmt;

/// How an attempt ends that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Succeed,
    FailRetryable,
    FailPermanent,
}

impl Ending {
    pub(super) const ALL: [Self; 3] = [Self::Succeed, Self::FailRetryable, Self::FailPermanent];
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A worker takes a step.
    Claim { worker: usize },
    /// A worker reports what became of its claim of this place among its claims, and takes so many steps in the same turn.
    Report {
        worker: usize,
        claim: usize,
        ending: Ending,
        want: u32,
    },
    /// A worker forgets everything; another one takes its place.
    Crash { worker: usize },
    /// The lease of a claim is over. Whoever holds it goes on as if it were not.
    Lapse { worker: usize, claim: usize },
    /// The lease of a claim that was lost in a crash is over.
    LapseLost { lost: usize },
    /// Leases that are over are ended.
    Sweep,
    /// A second passes.
    Tick,
}

impl Action {
    /// Tells whether nothing goes wrong in it.
    pub(super) fn is_calm(self) -> bool {
        match self {
            Self::Claim { .. } | Self::LapseLost { .. } | Self::Sweep | Self::Tick => true,
            Self::Report { ending, .. } => ending == Ending::Succeed,
            Self::Crash { .. } | Self::Lapse { .. } => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Claim { worker } => write!(f, "worker {worker} takes a step"),
            Self::Report {
                worker,
                claim,
                ending,
                want,
            } => {
                let ending = match ending {
                    Ending::Succeed => "a success",
                    Ending::FailRetryable => "a failure that may be tried again",
                    Ending::FailPermanent => "a permanent failure",
                };
                write!(f, "worker {worker} reports {ending} of its claim {claim}")?;
                f.write_str(if want > 0 { ", and takes a step" } else { "" })
            }
            Self::Crash { worker } => write!(f, "worker {worker} crashes"),
            Self::Lapse { worker, claim } => {
                write!(f, "the lease of worker {worker}'s claim {claim} is over")
            }
            Self::LapseLost { lost } => write!(f, "the lease of lost claim {lost} is over"),
            Self::Sweep => f.write_str("leases that are over are ended"),
            Self::Tick => f.write_str("a second passes"),
        }
    }
}
