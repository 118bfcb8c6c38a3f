//! What SQLite and the disk do by themselves.

use std::io::Write as _;
use std::time::{Duration, Instant};

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::query_dsl::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use crate::figure::median;

/// How many steps the bare loop claims and completes.
const PAIRS: usize = 200_000;

/// How many rows there are to change, as many as `pgbench` has at its scale of ten.
const ACCOUNTS: i64 = 1_000_000;

/// How long commits are counted.
const COMMITTING: Duration = Duration::from_secs(3);

/// Returns how many steps a second a bare loop claims and completes: two statements by sets and one commit a batch, with
/// the same safety.
pub(crate) fn pairs_per_second(batch: usize) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bare.db");
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; \
         CREATE TABLE steps (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, result TEXT) STRICT; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PAIRS}) \
         INSERT INTO steps SELECT i, 0, NULL FROM n;"
    ))?;
    let start = Instant::now();
    for first in (1..=PAIRS).step_by(batch) {
        let ids = serde_json::to_string(&(first..(first + batch).min(PAIRS + 1)).collect::<Vec<_>>())?;
        connection.batch_execute("BEGIN IMMEDIATE")?;
        diesel::sql_query(
            "UPDATE steps SET state = 1 WHERE id IN (SELECT value FROM json_each(?1)) AND state = 0",
        )
        .bind::<Text, _>(&ids)
        .execute(&mut connection)?;
        diesel::sql_query(
            "UPDATE steps SET state = 2, result = '{}' WHERE id IN (SELECT value FROM json_each(?1)) AND state = 1",
        )
        .bind::<Text, _>(&ids)
        .execute(&mut connection)?;
        connection.batch_execute("COMMIT")?;
    }
    Ok(PAIRS as f64 / start.elapsed().as_secs_f64())
}

/// Returns how many transactions a second one connection commits, each of which changes a row and adds one.
pub(crate) fn commits_per_second() -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bare.db");
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; \
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT; \
         CREATE TABLE history (id INTEGER PRIMARY KEY, account INTEGER NOT NULL, change INTEGER NOT NULL) STRICT; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS}) \
         INSERT INTO accounts SELECT i, 0 FROM n;"
    ))?;
    let start = Instant::now();
    let mut commits = 0;
    while start.elapsed() < COMMITTING {
        connection.batch_execute("BEGIN IMMEDIATE")?;
        for statement in [
            "UPDATE accounts SET balance = balance + 1 WHERE id = ?1",
            "INSERT INTO history (account, change) VALUES (?1, 1)",
        ] {
            // A prime walks all over the table.
            diesel::sql_query(statement)
                .bind::<BigInt, _>(commits * 7_919 % ACCOUNTS + 1)
                .execute(&mut connection)?;
        }
        connection.batch_execute("COMMIT")?;
        commits += 1;
    }
    Ok(commits as f64 / start.elapsed().as_secs_f64())
}

/// Returns the median time of writing a page to a file and waiting for the disk, in milliseconds.
pub(crate) fn fsync() -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let mut file = std::fs::File::create(directory.path().join("page"))?;
    let page = [7_u8; 4096];
    let mut times = Vec::with_capacity(300);
    for _ in 0..300 {
        let start = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(median(&times))
}
