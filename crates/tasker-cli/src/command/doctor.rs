//! `tasker doctor`: says what is not as it should be with the database, and what mends it.

use serde::Serialize;
use tasker::{Checkup, Finding, FindingSeverity, Location, PostgresOptions, SqliteFile, doctor, postgres};

use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::text::counted;

/// What was found, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown {
    database: String,
    findings: Vec<Finding>,
}

/// Looks at the database, and changes nothing.
pub(super) fn run(session: &Session) -> Result<Exit, Problem> {
    let location = session.location()?;
    let (settings, checkup) = (session.database(), Checkup::default());
    let findings = match &location {
        Location::Sqlite(file) => doctor::examine(SqliteFile::new(file).settings(settings), &checkup)?,
        Location::Postgres(url) => session.block_on(async {
            let options = PostgresOptions::new(url).settings(settings);
            Ok(postgres::doctor::examine(&options, &checkup).await?)
        })?,
    };
    let is_ill = |finding: &Finding| finding.severity == FindingSeverity::Problem;
    let exit = match findings.iter().any(is_ill) {
        true => Exit::Failed,
        false => Exit::Done,
    };
    let shown = Shown {
        database: location.to_string(),
        findings,
    };
    session
        .output()
        .result(&shown, || text(&shown, session.output()))?;
    Ok(exit)
}

fn text(shown: &Shown, output: Output) -> String {
    let mut text = String::new();
    for finding in &shown.findings {
        let severity = match finding.severity {
            FindingSeverity::Problem => "problem",
            FindingSeverity::Warning => "warning",
        };
        text.push_str(&format!(
            "{severity} {}: {}\n  mend: {}\n",
            finding.code, finding.message, finding.mend
        ));
    }
    if output != Output::Quiet {
        text.push_str(&match shown.findings.len() {
            0 => format!("nothing is wrong with {}\n", shown.database),
            count => format!("{} in {}\n", counted(count as u64, "finding"), shown.database),
        });
    }
    text
}
