//! `tasker verify`: checks what the database holds against the rules of the engine.

use tasker::{Report, verify_all, verify_store};

use crate::args::Verify;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;

/// Checks one task or all of them.
pub(super) fn run(session: &Session, arguments: &Verify) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let report = match &arguments.task {
            Some(prefix) => {
                let task = session.find(&tasker, prefix).await?;
                verify_store(&**tasker.store(), [task]).await?
            }
            None => verify_all(&**tasker.store()).await?,
        };
        session
            .output()
            .result(&report, || text(&report, session.output()))?;
        Ok(if report.holds() { Exit::Done } else { Exit::Failed })
    })
}

fn text(report: &Report, output: Output) -> String {
    let mut text = String::new();
    if output != Output::Quiet {
        for violation in &report.violations {
            text.push_str(&format!("{violation}\n"));
        }
    }
    let Report {
        tasks,
        transitions,
        violations,
        ..
    } = report;
    text.push_str(&format!(
        "{tasks} tasks, {transitions} transitions, {} violations\n",
        violations.len()
    ));
    text
}
