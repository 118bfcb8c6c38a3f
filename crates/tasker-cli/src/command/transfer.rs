//! `tasker move`: copies all tasks to another database, which takes over.

use serde::Serialize;
use tasker::{Endpoint, Location, PostgresOptions, SqliteFile, Transferred, transfer};

use crate::args::Move;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::text::counted;

/// What was moved, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    from: String,
    to: String,
    #[serde(flatten)]
    moved: Transferred,
}

/// Moves everything, or nothing.
pub(super) fn run(session: &Session, arguments: &Move) -> Result<Exit, Problem> {
    let (from, to) = (location(&arguments.from)?, location(&arguments.to)?);
    let moved = session.block_on(async {
        let (from, to) = (endpoint(session, &from), endpoint(session, &to));
        Ok(transfer(&from, &to).await?)
    })?;
    let shown = Shown {
        from: from.to_string(),
        to: to.to_string(),
        moved,
    };
    session
        .output()
        .result(&shown, || text(&shown, session.output()))?;
    Ok(Exit::Done)
}

fn endpoint(session: &Session, location: &Location) -> Endpoint {
    match location {
        Location::Sqlite(path) => Endpoint::Sqlite(SqliteFile::new(path).settings(session.database())),
        Location::Postgres(url) => Endpoint::Postgres(PostgresOptions::new(url).settings(session.database())),
    }
}

fn location(url: &str) -> Result<Location, Problem> {
    Location::of(url).map_err(|_| {
        let message = format!("`{}` names no database", tasker::without_secrets(url));
        Problem::refused("unknown_database", message)
            .with_help("write sqlite:PATH or postgres://USER@HOST/DATABASE")
    })
}

fn text(shown: &Shown, output: Output) -> String {
    if output == Output::Quiet {
        return format!("{}\n", shown.moved.tasks);
    }
    format!(
        "moved {}, {} and {} from {} to {}\nthe source still has them: work on the target only from now on\n",
        counted(shown.moved.tasks, "task"),
        counted(shown.moved.steps, "step"),
        counted(shown.moved.transitions, "transition"),
        shown.from,
        shown.to,
    )
}
