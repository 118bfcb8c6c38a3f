//! Places where a store may be made to fail, to see what becomes of it.
//!
//! Every statement of a store, and every beginning and end of a transaction, passes by the probe that its options have, if
//! they have one. What a fault leads to is then what the same fault of the database leads to.

use std::fmt::Debug;

/// When something happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before it is carried out, which it then never is.
    Before,
    /// When it was carried out.
    After,
}

/// What happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The database answers with an error; the connection stays as it is.
    Error,
    /// The connection is over, and whatever it had under way is undone. The answer of a statement that was carried out
    /// arrives all the same.
    Drop,
    /// The connection is over, and so is the answer.
    LoseAnswer,
    /// The process ends at once.
    Abort,
}

/// Decides what happens to the statements of a store.
pub trait Probe: Debug + Send + Sync {
    /// Returns what happens to a statement, which is named by its SQL, and when; `None` for nothing.
    fn pass(&self, statement: &str) -> Option<(Moment, Fault)>;
}
