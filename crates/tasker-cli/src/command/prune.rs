//! `tasker prune`: removes tasks that ended for good a while ago.

use serde::Serialize;
use tasker::PruneMode;

use crate::args::Prune;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::text::counted;

/// What was done, or would be, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    database: String,
    older_than_seconds: u64,
    dry_run: bool,
    pruned: u64,
    kept: u64,
}

/// Removes tasks, or counts them.
pub(super) fn run(session: &Session, arguments: &Prune) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let mode = match arguments.dry_run {
            true => PruneMode::Count,
            false => PruneMode::Remove,
        };
        let pruned = tasker.prune(arguments.older_than.0, mode).await?;
        let shown = Shown {
            database: session.location()?.to_string(),
            older_than_seconds: arguments.older_than.0.as_secs(),
            dry_run: arguments.dry_run,
            pruned: pruned.pruned,
            kept: pruned.kept,
        };
        session
            .output()
            .result(&shown, || text(&shown, session.output()))?;
        Ok(Exit::Done)
    })
}

fn text(shown: &Shown, output: Output) -> String {
    if output == Output::Quiet {
        return format!("{}\n", shown.pruned);
    }
    let word = if shown.dry_run { "would remove" } else { "removed" };
    let mut text = format!("{word} {}\n", counted(shown.pruned, "task"));
    if shown.kept > 0 {
        text.push_str(&format!(
            "kept {} whose line of tasks, each created by another, has not ended or not long enough ago\n",
            counted(shown.kept, "task"),
        ));
    }
    text
}
