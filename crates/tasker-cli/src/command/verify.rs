//! `tasker verify`: checks what the database holds against the rules of the engine.

use serde::Serialize;
use tasker::{Proposal, Report, verify_all, verify_store};

use crate::args::Verify;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;

/// A report, with what is proposed if that was asked for.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposals: Option<Vec<Proposal>>,
}

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
        let proposals = arguments.repair.then(|| report.proposals());
        let answer = Answer { report, proposals };
        session
            .output()
            .result(&answer, || text(&answer, session.output()))?;
        Ok(if answer.report.holds() {
            Exit::Done
        } else {
            Exit::Failed
        })
    })
}

fn text(Answer { report, proposals }: &Answer, output: Output) -> String {
    let mut text = String::new();
    if output != Output::Quiet {
        for (number, violation) in report.violations.iter().enumerate() {
            text.push_str(&format!("{violation}\n"));
            if let Some(proposal) = proposals.iter().flatten().nth(number) {
                text.push_str(&format!("    {proposal}\n"));
            }
        }
    }
    let Report {
        tasks,
        transitions,
        violations,
        ..
    } = report;
    text.push_str(&format!(
        "{tasks} histories, {transitions} transitions, {} violations\n",
        violations.len()
    ));
    text
}
