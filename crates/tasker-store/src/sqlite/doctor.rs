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
    let mut faults = texts(connection, "PRAGMA quick_check(5)")?;
    faults.retain(|line| line != "ok");
    faults.truncate(FAULTS);
    findings.extend(judge(&faults));
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

/// Returns what the faults mean that SQLite's check found.
///
/// The check tells a page that the disk did not give as it tells a page that is wrong, and what stands on such a page
/// as missing; so as long as one cannot be read, nobody knows whether the file is damaged.
fn judge(faults: &[String]) -> Option<Finding> {
    if faults.is_empty() {
        return None;
    }
    let told = faults.join("; ");
    Some(if faults.iter().any(|line| is_unread(line)) {
        Finding::problem(
            "unreadable",
            format!("the disk does not give all of the file, which may be whole all the same: {told}"),
            "look at the disk, then run `tasker doctor` again",
        )
    } else {
        Finding::problem(
            "damaged",
            format!("the file is damaged: {told}"),
            "restore the file from a copy, or save what can be read with `.recover` of the program `sqlite3`",
        )
    })
}

/// Tells whether a page could not be read: its line ends with a code whose low byte is `SQLITE_IOERR`.
fn is_unread(line: &str) -> bool {
    const IOERR: u32 = 10;
    line.rsplit_once("error code=")
        .and_then(|(_, code)| code.trim().parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == IOERR)
}

fn texts(connection: &mut Connection, sql: &'static str) -> QueryResult<Vec<String>> {
    let rows = Statement::<(Text,)>::new(sql, &[]).load::<(String,)>(connection)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn number(connection: &mut Connection, sql: &'static str) -> QueryResult<u64> {
    let row: (i64,) = Statement::<(BigInt,)>::new(sql, &[]).get_result(connection)?;
    Ok(u64::try_from(row.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(faults: &[&str], code: Option<&str>) {
        let faults: Vec<String> = faults.iter().map(|&line| line.to_owned()).collect();
        let finding = judge(&faults);
        assert_eq!(finding.as_ref().map(|finding| finding.code), code, "{finding:?}");
        if let Some(finding) = finding {
            assert!(
                faults.iter().all(|line| finding.message.contains(line)),
                "{finding:?}"
            );
        }
    }

    #[test]
    fn a_page_that_the_disk_does_not_give_is_no_damage() {
        const UNREAD: &str =
            "*** in database main ***\nTree 23 page 23: unable to get the page. error code=8458";
        means(&[UNREAD], Some("unreadable"));
        means(&[UNREAD, "Page 24: never used"], Some("unreadable"));
        means(
            &["Tree 2 page 2: unable to get the page. error code=10"],
            Some("unreadable"),
        );
    }

    #[test]
    fn a_page_that_is_wrong_is_damage() {
        means(
            &["Tree 23 page 23: unable to get the page. error code=11"],
            Some("damaged"),
        );
        means(
            &["Tree 23 page 23: btreeInitPage() returns error code 11"],
            Some("damaged"),
        );
        means(&["Page 24: never used"], Some("damaged"));
        means(&[], None);
    }
}
