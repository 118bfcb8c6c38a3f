//! What is not as it should be with a file.

use std::path::Path;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use tasker_engine::StoreError;
use tasker_types::{Database, Synchronous};

use super::connection::Connection;
use super::error::classify;
use super::file::{Mode, SqliteFile};
use super::migrate;
use super::statement::Statement;
use crate::checkup::{Checkup, Finding, bytes};

/// How many bytes of a log wait for a checkpoint at most.
const LOG_BYTES: u64 = 64 << 20;

/// How many faults of a damaged file are named.
const FAULTS: usize = 5;

/// Looks at a file, and changes nothing. Reads all of it.
///
/// # Errors
///
/// When the file is not there or is no database.
pub fn examine(file: impl Into<SqliteFile>, checkup: &Checkup) -> Result<Vec<Finding>, StoreError> {
    let file = file.into();
    let path = file.path();
    let status = migrate::status(&file)?;
    let mut findings = Vec::new();
    if !status.pending.is_empty() {
        findings.push(Finding::problem(
            "missing_migrations",
            format!("the schema has not got {}", status.pending.join(", ")),
            "tasker migrate up",
        ));
    }
    if !path.exists() {
        return Ok(findings);
    }
    let mut connection = file.open(Mode::Read)?;
    let found = look(&mut connection, path, &file.settings, checkup);
    findings.extend(found.map_err(|error| classify(path, error))?);
    Ok(findings)
}

fn look(
    connection: &mut Connection,
    path: &Path,
    settings: &Database,
    checkup: &Checkup,
) -> QueryResult<Vec<Finding>> {
    let mut findings = Vec::new();
    let damages: Vec<String> = texts(connection, "PRAGMA quick_check(5)")?
        .into_iter()
        .filter(|line| line != "ok")
        .take(FAULTS)
        .collect();
    if !damages.is_empty() {
        findings.push(Finding::problem(
            "damaged",
            format!("the file is damaged: {}", damages.join("; ")),
            "restore the file from a copy, or save what can be read with `.recover` of the program `sqlite3`",
        ));
    }
    let mode = texts(connection, "PRAGMA journal_mode")?.join("");
    if mode != "wal" {
        findings.push(Finding::problem(
            "journal_mode",
            format!("the journal mode is `{mode}`, so readers and the writer wait for each other"),
            "PRAGMA journal_mode = WAL;",
        ));
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let waiting = std::fs::metadata(&log).map_or(0, |file| file.len());
    if waiting > checkup.log_bytes.unwrap_or(LOG_BYTES) {
        findings.push(Finding::warning(
            "large_log",
            format!(
                "{} of changes wait in `{}` to be brought into the file: a reader that never ends keeps them there, or \
                 the last process was killed",
                bytes(waiting),
                Path::new(&log).display(),
            ),
            "PRAGMA wal_checkpoint(TRUNCATE);",
        ));
    }
    let [page, pages, free] =
        ["PRAGMA page_size", "PRAGMA page_count", "PRAGMA freelist_count"].map(|sql| number(connection, sql));
    let (page, pages, free) = (page?, pages?, free?);
    if free * page > checkup.free_bytes && free * 4 > pages {
        findings.push(Finding::warning(
            "free_pages",
            format!(
                "{} of {} in the file are free, and are used again before it grows",
                bytes(free * page),
                bytes(pages * page),
            ),
            "VACUUM;",
        ));
    }
    if settings.synchronous == Synchronous::Normal {
        findings.push(Finding::warning(
            "not_durable",
            "`database.synchronous` is `normal`: a power failure may lose the last commits".to_owned(),
            "set `database.synchronous` to `full`",
        ));
    }
    Ok(findings)
}

fn texts(connection: &mut Connection, sql: &'static str) -> QueryResult<Vec<String>> {
    let rows = Statement::<(Text,)>::new(sql, &[]).load::<(String,)>(connection)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn number(connection: &mut Connection, sql: &'static str) -> QueryResult<u64> {
    let row: (i64,) = Statement::<(BigInt,)>::new(sql, &[]).get_result(connection)?;
    Ok(u64::try_from(row.0).unwrap_or_default())
}
