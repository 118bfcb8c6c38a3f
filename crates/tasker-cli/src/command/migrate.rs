//! `tasker migrate`: brings the database to another version of its schema.

use std::path::Path;

use serde::Serialize;
use tasker::migrate::{self, Status};
use tasker::{Location, PostgresOptions, postgres};

use crate::args::Migrate;
use crate::exit::{Exit, Problem};
use crate::output::{Output, Table};
use crate::session::Session;
use crate::view::text::{Line, Style, counted};

/// Does what a command about migrations says.
pub(super) fn run(session: &Session, arguments: &Migrate) -> Result<Exit, Problem> {
    let schema = Schema {
        session,
        location: session.location()?,
    };
    match arguments {
        Migrate::Up { dry_run: true } => told(&schema, Done::new("would apply", schema.status()?.pending)),
        Migrate::Up { dry_run: false } => told(&schema, Done::new("applied", schema.up()?)),
        Migrate::Down { steps, dry_run: true } => {
            let status = schema.status()?;
            refuse_newer(&status, &schema.location)?;
            let mut applied = status.applied;
            applied.reverse();
            applied.truncate(*steps as usize);
            told(&schema, Done::new("would take back", applied))
        }
        Migrate::Down {
            steps,
            dry_run: false,
        } => {
            refuse_newer(&schema.status()?, &schema.location)?;
            told(&schema, Done::new("took back", schema.down(*steps)?))
        }
        Migrate::Status {} => status(&schema),
    }
}

/// The schema of the database in which tasks are kept.
struct Schema<'s> {
    session: &'s Session,
    location: Location,
}

impl Schema<'_> {
    fn status(&self) -> Result<Status, Problem> {
        match &self.location {
            Location::Sqlite(file) => Ok(migrate::status(file)?),
            Location::Postgres(url) => self
                .session
                .block_on(async { Ok(postgres::migrate::status(&PostgresOptions::new(url)).await?) }),
        }
    }

    fn up(&self) -> Result<Vec<String>, Problem> {
        match &self.location {
            Location::Sqlite(file) => {
                make_directory(file)?;
                Ok(migrate::up(file)?)
            }
            Location::Postgres(url) => self
                .session
                .block_on(async { Ok(postgres::migrate::up(&PostgresOptions::new(url)).await?) }),
        }
    }

    fn down(&self, steps: u32) -> Result<Vec<String>, Problem> {
        match &self.location {
            Location::Sqlite(file) => Ok(migrate::down(file, steps)?),
            Location::Postgres(url) => self
                .session
                .block_on(async { Ok(postgres::migrate::down(&PostgresOptions::new(url), steps).await?) }),
        }
    }
}

/// Refuses to take migrations back that a newer program applied: how that is done only that program knows.
fn refuse_newer(status: &Status, location: &Location) -> Result<(), Problem> {
    let Status { version, latest, .. } = status;
    if version <= latest {
        return Ok(());
    }
    let message = format!(
        "the schema of `{location}` has version {version}, and this program can only take back up to version {latest}"
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

fn told(schema: &Schema<'_>, done: Done) -> Result<Exit, Problem> {
    #[derive(Serialize)]
    struct Object<'a> {
        database: String,
        action: String,
        migrations: &'a [String],
    }
    let (session, Done { word, migrations }) = (schema.session, done);
    let object = Object {
        database: schema.location.to_string(),
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

fn status(schema: &Schema<'_>) -> Result<Exit, Problem> {
    let session = schema.session;
    let Status {
        version: number,
        latest: known,
        applied,
        pending,
        ..
    } = schema.status()?;
    let missing = pending.len() as u64;
    let version = applied.last().cloned();
    let latest = pending.last().or(applied.last()).cloned();
    let applied = applied.into_iter().map(|name| Migration { name, applied: true });
    let pending = pending.into_iter().map(|name| Migration { name, applied: false });
    let migrations = applied.chain(pending).collect();
    let shown = Shown {
        database: schema.location.to_string(),
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
        let file = Location::Sqlite("data/tasker.db".into());
        for version in [0, 1] {
            assert_eq!(refuse_newer(&status(version), &file), Ok(()));
        }
        let refused = refuse_newer(&status(2), &file).unwrap_err();
        assert_eq!(refused.exit, Exit::Store);
        assert_eq!(
            refused.to_string(),
            "error: the schema of `data/tasker.db` has version 2, and this program can only take back up to version 1\n  \
             help: use the `tasker` that brought it there"
        );
    }
}
