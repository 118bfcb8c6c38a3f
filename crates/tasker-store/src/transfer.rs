//! Moving all tasks from one database to another, of the same kind or of the other.
//!
//! Rows travel as JSON lists, which either database makes and takes apart by itself, a bounded number at a time: the source is
//! read in one transaction and the target written in one. Keys stay what they are, since the target is empty; positions of
//! the history do not, since each database counts its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tasker_engine::StoreError;
use tokio::sync::mpsc;

use crate::postgres::{self, PostgresOptions};
use crate::sqlite::{self, SqliteFile};
use crate::work::NewHistoryRow;

/// A database that tasks are moved from or to.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A SQLite file.
    Sqlite(SqliteFile),
    /// A PostgreSQL database.
    Postgres(PostgresOptions),
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Transferred {
    /// How many tasks.
    pub tasks: u64,
    /// How many steps.
    pub steps: u64,
    /// How many entries of their histories.
    pub transitions: u64,
}

/// Copies all tasks with their steps, results, leases and histories into a database that has none, and changes nothing in the
/// source.
///
/// It is all or nothing: what is written is committed at the end, at once. The schemas of both are brought up to date before.
/// While it lasts, nothing else writes to either: workers of the source wait. Steps that are in progress keep their leases;
/// what their workers report afterwards, they report to the source, and in the target the steps are tried again when the
/// leases end, in a SQLite file at once. The memory that it takes does not depend on how many tasks there are.
///
/// # Errors
///
/// When the target holds anything already, the source is not there, or one of them cannot be used.
pub async fn transfer(from: &Endpoint, to: &Endpoint) -> Result<Transferred, StoreError> {
    from.prepare(Side::Source).await?;
    to.prepare(Side::Target).await?;
    // Looked at again when nobody else can write to it; a source that is its own target would wait for itself there.
    match to {
        Endpoint::Sqlite(file) => {
            let file = file.clone();
            blocking(move || sqlite::transfer::refuse_used(&file)).await?;
        }
        Endpoint::Postgres(options) => postgres::transfer::refuse_used(options).await?,
    }
    // Both sides end early when the other one does.
    let (sender, receiver) = mpsc::channel(WAITING);
    let reading = async move {
        match from {
            Endpoint::Sqlite(file) => {
                let file = file.clone();
                blocking(move || sqlite::transfer::read(&file, &sender)).await
            }
            Endpoint::Postgres(options) => postgres::transfer::read(options, sender).await,
        }
    };
    let writing = async move {
        match to {
            Endpoint::Sqlite(file) => {
                let file = file.clone();
                blocking(move || sqlite::transfer::write(&file, receiver)).await
            }
            Endpoint::Postgres(options) => postgres::transfer::write(options, receiver).await,
        }
    };
    let (read, written) = tokio::join!(reading, writing);
    match (read, written) {
        (Ok(()), written) => written,
        // Whoever failed first says why; the other one only found itself alone.
        (Err(StoreError::Closed), Err(error)) | (Err(error), _) => Err(error),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Closed)?
}

/// Which end of a move a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Endpoint {
    /// Brings the schema up to date; a source must be there.
    async fn prepare(&self, side: Side) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(file) if side == Side::Source && !file.path().is_file() => {
                Err(StoreError::Unusable {
                    store: file.path().display().to_string(),
                    problem: "there is no such file".to_owned(),
                    advice: "name the database that has the tasks",
                })
            }
            Self::Sqlite(file) => {
                let file = file.clone();
                blocking(move || sqlite::migrate::up(file)).await.map(drop)
            }
            Self::Postgres(options) => postgres::migrate::up(options).await.map(drop),
        }
    }
}

/// How many chunks wait between the two sides at most.
const WAITING: usize = 4;

/// How many rows a chunk has at most.
const ROWS: usize = 500;

/// From how many bytes on a chunk takes no further row.
const BYTES: usize = 1 << 20;

/// Rows on their way.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// Some rows of a table, as a JSON list of lists.
    Rows(Table, String),
    /// Everything was sent.
    End,
}

/// The tables, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Secrets,
    Graphs,
    Queues,
    GraphSteps,
    GraphEdges,
    Actors,
    Tasks,
    TaskLabels,
    Leases,
    Steps,
    ReadySteps,
    Payloads,
    Entries,
}

impl Table {
    pub(crate) const ALL: [Self; 13] = [
        Self::Secrets,
        Self::Graphs,
        Self::Queues,
        Self::GraphSteps,
        Self::GraphEdges,
        Self::Actors,
        Self::Tasks,
        Self::TaskLabels,
        Self::Leases,
        Self::Steps,
        Self::ReadySteps,
        Self::Payloads,
        Self::Entries,
    ];
}

/// Gathers rows to chunks.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    text: String,
    rows: usize,
}

impl Chunk {
    /// Adds a row, and tells whether the chunk is full.
    pub(crate) fn add(&mut self, row: &str) -> bool {
        self.text.push(if self.rows == 0 { '[' } else { ',' });
        self.text.push_str(row);
        self.rows += 1;
        self.rows >= ROWS || self.text.len() >= BYTES
    }

    /// Returns the chunk, if there is anything in it, and begins another.
    pub(crate) fn take(&mut self) -> Option<String> {
        if self.rows == 0 {
            return None;
        }
        self.rows = 0;
        let mut text = std::mem::take(&mut self.text);
        text.push(']');
        Some(text)
    }
}

/// An entry as it travels: the task, the step, the event, the states before and after, when, the actor, the run, the
/// attempt, the version of the handler, the time that it ran, and what else is known.
#[derive(Deserialize)]
struct Entry(
    i64,
    Option<u32>,
    String,
    Option<String>,
    Option<String>,
    i64,
    i64,
    Option<u32>,
    Option<u32>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

/// Entries of the history that are to stand in one row.
pub(crate) struct MovedEntries {
    pub(crate) at: i64,
    pub(crate) row: NewHistoryRow,
}

impl MovedEntries {
    /// Puts entries, which are a JSON list of lists, into rows, those of a moment together.
    pub(crate) fn read(rows: &str) -> serde_json::Result<Vec<Self>> {
        let entries: Vec<Entry> = serde_json::from_str(rows)?;
        let mut moved = Vec::new();
        for moment in entries.chunk_by(|one, other| one.5 == other.5) {
            for part in moment.chunks(NewHistoryRow::FULL) {
                let mut list = Vec::with_capacity(part.len());
                for entry in part {
                    let metadata = entry.11.clone().map(RawValue::from_string).transpose()?;
                    list.push((
                        entry.0, entry.1, &entry.2, &entry.3, &entry.4, entry.6, entry.7, entry.8, &entry.9,
                        entry.10, metadata,
                    ));
                }
                let tasks: BTreeSet<i64> = part.iter().map(|entry| entry.0).collect();
                let row = NewHistoryRow {
                    count: i64::try_from(part.len()).unwrap_or(i64::MAX),
                    entries: serde_json::to_string(&list)?,
                    tasks: tasks.into_iter().collect(),
                };
                moved.push(Self { at: part[0].5, row });
            }
        }
        Ok(moved)
    }
}

impl Transferred {
    pub(crate) fn count(&mut self, table: Table, rows: usize) {
        let rows = rows as u64;
        match table {
            Table::Tasks => self.tasks += rows,
            Table::Steps => self.steps += rows,
            Table::Entries => self.transitions += rows,
            _ => {}
        }
    }
}

pub(crate) fn refused(store: String) -> StoreError {
    StoreError::Unusable {
        store,
        problem: "it was used before, and tasks can only be moved into an empty database".to_owned(),
        advice: "name one that is new: another file, another database, or another schema by `options=-csearch_path%3DNAME`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_at_its_limits() {
        let mut chunk = Chunk::default();
        assert_eq!(chunk.take(), None);
        assert!(!chunk.add("[1]"));
        assert!(!chunk.add("[2]"));
        assert_eq!(chunk.take().as_deref(), Some("[[1],[2]]"));
        assert_eq!(chunk.take(), None);
        assert!(chunk.add(&"x".repeat(BYTES)));
        chunk.take();
        assert_eq!((1..).find(|_| chunk.add("[]")), Some(ROWS));
    }
}
