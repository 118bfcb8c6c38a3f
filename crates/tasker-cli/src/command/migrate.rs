//! `tasker migrate`: brings the database to another version of its schema.

use std::path::Path;

use serde::Serialize;
use tasker::migrate::{self, Status};

use crate::args::Migrate;
use crate::exit::{Exit, Problem};
use crate::output::{Output, Table};
use crate::session::Session;
use crate::view::text::{Line, Style, counted};

/// Does what a command about migrations says.
pub(super) fn run(session: &Session, arguments: &Migrate) -> Result<Exit, Problem> {
    let file = session.database()?;
    match arguments {
        Migrate::Up { dry_run: true } => {
            let pending = migrate::status(&file)?.pending;
            told(session, &file, Done::new("would apply", pending))
        }
        Migrate::Up { dry_run: false } => {
            make_directory(&file)?;
            told(session, &file, Done::new("applied", migrate::up(&file)?))
        }
        Migrate::Down { steps, dry_run: true } => {
            let status = migrate::status(&file)?;
            refuse_newer(&status, &file)?;
            let mut applied = status.applied;
            applied.reverse();
            applied.truncate(*steps as usize);
            told(session, &file, Done::new("would take back", applied))
        }
        Migrate::Down {
            steps,
            dry_run: false,
        } => {
            refuse_newer(&migrate::status(&file)?, &file)?;
            told(
                session,
                &file,
                Done::new("took back", migrate::down(&file, *steps)?),
            )
        }
        Migrate::Status {} => status(session, &file),
    }
}

/// Refuses to take migrations back that a newer program applied: how that is done only that program knows.
fn refuse_newer(status: &Status, file: &Path) -> Result<(), Problem> {
    let Status { version, latest, .. } = status;
    if version <= latest {
        return Ok(());
    }
    let message = format!(
        "the schema of `{}` has version {version}, and this program can only take back up to version {latest}",
        file.display()
    );
    Err(Problem::store("schema_newer", message).with_help("use the `tasker` that brought it there"))
}

/// Makes the directory of a database that is not there yet.
fn make_directory(file: &Path) -> Result<(), Problem> {
    let Some(directory) = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    else {
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        let message = format!("the directory `{}` cannot be made", directory.display());
        Problem::store("store_unusable", message).caused_by(&error)
    })
}

/// What was done, or would be.
struct Done {
    word: &'static str,
    migrations: Vec<String>,
}

impl Done {
    fn new(word: &'static str, migrations: Vec<String>) -> Self {
        Self { word, migrations }
    }
}

fn told(session: &Session, file: &Path, done: Done) -> Result<Exit, Problem> {
    #[derive(Serialize)]
    struct Object<'a> {
        database: String,
        action: String,
        migrations: &'a [String],
    }
    let Done { word, migrations } = done;
    let object = Object {
        database: file.display().to_string(),
        action: word.replace(' ', "_"),
        migrations: &migrations,
    };
    session
        .output()
        .result(&object, || match (session.output(), migrations.as_slice()) {
            (Output::Quiet, _) => String::new(),
            (_, []) => "nothing to do\n".to_owned(),
            (_, migrations) => migrations
                .iter()
                .map(|migration| format!("{word} {migration}\n"))
                .collect(),
        })?;
    Ok(Exit::Done)
}

/// The state of the schema as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    database: String,
    version: Option<String>,
    latest: Option<String>,
    migrations: Vec<Migration>,
}

#[derive(Debug, Serialize)]
struct Migration {
    name: String,
    applied: bool,
}

fn status(session: &Session, file: &Path) -> Result<Exit, Problem> {
    let Status {
        version: number,
        latest: known,
        applied,
        pending,
        ..
    } = migrate::status(file)?;
    let missing = pending.len() as u64;
    let version = applied.last().cloned();
    let latest = pending.last().or(applied.last()).cloned();
    let applied = applied.into_iter().map(|name| Migration { name, applied: true });
    let pending = pending.into_iter().map(|name| Migration { name, applied: false });
    let migrations = applied.chain(pending).collect();
    let shown = Shown {
        database: file.display().to_string(),
        version,
        latest,
        migrations,
    };
    session
        .output()
        .result(&shown, || {
            let mut text = text(&shown, missing, session);
            if number > known && session.output() != Output::Quiet {
                text.push_str(&format!(
                    "a newer program brought the schema to version {number}; this one knows {known} and may still use it\n"
                ));
            }
            text
        })?;
    Ok(Exit::Done)
}

fn text(shown: &Shown, missing: u64, session: &Session) -> String {
    if session.output() == Output::Quiet {
        return shown
            .version
            .iter()
            .map(|version| format!("{version}\n"))
            .collect();
    }
    let mut table = Table::new(&["MIGRATION", "STATE"]);
    for migration in &shown.migrations {
        let state = match migration.applied {
            true => Line::styled(Style::Good, "applied"),
            false => Line::styled(Style::Waiting, "missing"),
        };
        table.row([Line::from(migration.name.clone()), state]);
    }
    let mut text = format!("{}\n{}", shown.database, table.render(session.layout()));
    if missing > 0 {
        text.push_str(&format!(
            "{} missing; `tasker migrate up` applies what is missing, and so does every command that opens the \
             database\n",
            counted(missing, "migration"),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_program_applied_is_not_taken_back() {
        let status = |version| Status {
            version,
            latest: 1,
            oldest_program: 1,
            pending: Vec::new(),
            applied: Vec::new(),
        };
        let file = Path::new("data/tasker.db");
        for version in [0, 1] {
            assert_eq!(refuse_newer(&status(version), file), Ok(()));
        }
        let refused = refuse_newer(&status(2), file).unwrap_err();
        assert_eq!(refused.exit, Exit::Store);
        assert_eq!(
            refused.to_string(),
            "error: the schema of `data/tasker.db` has version 2, and this program can only take back up to version 1\n  \
             help: use the `tasker` that brought it there"
        );
    }
}
