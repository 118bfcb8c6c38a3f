//! What SQLite and the disk do by themselves.

use std::io::Write as _;
use std::time::Instant;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::query_dsl::RunQueryDsl as _;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use crate::figure::median;

/// How many steps the bare loop claims and completes.
const PAIRS: usize = 200_000;

/// Returns how many steps a second a bare loop claims and completes: two statements by sets and one commit a batch, with
/// the same safety.
pub(crate) fn pairs_per_second(batch: usize) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bare.db");
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    connection.batch_execute(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; \
         PRAGMA wal_autocheckpoint = 8000; \
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
