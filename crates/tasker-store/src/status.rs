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

/// Which version the schema of a database has, beside what this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// The version of the schema; 0 where there is none.
    pub version: u32,
    /// The version that this program was written for.
    pub latest: u32,
    /// The version that a program must know to use it.
    pub oldest_program: u32,
}

impl Schema {
    pub(crate) fn of(row: Option<(i64, i64)>, latest: u32) -> Self {
        let (version, oldest_program) = row.unwrap_or_default();
        let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            version: number(version),
            latest,
            oldest_program: number(oldest_program),
        }
    }

    /// Tells whether this program can work with it: nothing is pending, and it is not too new.
    pub const fn is_usable(&self) -> bool {
        self.version >= self.latest && self.oldest_program <= self.latest
    }
}

/// The connections of a store to its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// How many connections may read at a time.
    pub readers: u32,
    /// How many of these are reading now.
    pub reading: u32,
    /// How many connections write.
    pub writers: u32,
    /// What the server of the database has; `None` where there is no server.
    pub server: Option<ServerConnections>,
}

/// The connections of a database's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServerConnections {
    /// How many this database has, whoever opened them.
    pub open: u32,
    /// How many the server permits in all.
    pub max: u32,
}
