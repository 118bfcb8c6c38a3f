//! Why there is no analysis.

use thiserror::Error;

use crate::error::DagError;

/// Why a task cannot be analysed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// Several steps have one id.
    #[error("{id} is the id of more than one step")]
    DuplicateId {
        /// The id.
        id: u64,
    },
    /// An id belongs to no step.
    #[error("the edge from {from} to {to} names a step that does not exist: {id}")]
    UnknownEdgeStep {
        /// The id where the edge begins.
        from: u64,
        /// The id where it ends.
        to: u64,
        /// The one of them that belongs to no step.
        id: u64,
    },
    /// A change names a step that does not exist.
    #[error("there is no step with the id {id}")]
    UnknownStep {
        /// The id.
        id: u64,
    },
    /// Names, edges or cycles are wrong.
    #[error(transparent)]
    Graph(#[from] DagError),
    /// Scores of such weights do not fit into a number.
    #[error(
        "the weights are too large, or too far apart, for exact scores of {steps} steps; lower them or give them fewer digits"
    )]
    Weights {
        /// How many steps there are.
        steps: usize,
    },
}
