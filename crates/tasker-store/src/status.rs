//! How a schema stands.

use serde::Serialize;

/// How a database's schema stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The version of the schema; 0 where there is none.
    pub version: u32,
    /// The version that this program brings it to.
    pub latest: u32,
    /// The version that a program must know to use it.
    pub oldest_program: u32,
    /// Migrations that it has not seen, in order.
    pub pending: Vec<String>,
    /// Migrations that it has seen, in order.
    pub applied: Vec<String>,
}
