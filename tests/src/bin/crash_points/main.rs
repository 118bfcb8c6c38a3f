//! `cargo xtask crash-points`: has everything go wrong that can, at each statement and each commit of both stores.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use tests::crash_points::{Ground, Outcome, Place, Plan, Suite, Wanted, live_on};

/// Tries an error, a dropped connection, a lost answer and an aborted process before and after each statement and each
/// commit of both stores.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask crash-points",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask crash-points\n  cargo xtask crash-points --store sqlite --only COMMIT\n  \
                  cargo xtask crash-points --store postgres --only CreateWithin"
)]
struct Args {
    /// The store: sqlite or postgres; both by default.
    #[arg(long, value_parser = store)]
    store: Option<Place>,
    /// Only statements that contain this text, or whose part of the script has this name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// In how many parts of the script the same statement fails; a commit fails in each.
    #[arg(long, default_value_t = 3)]
    deeds: usize,
    /// How many of the same statement in the same part of the script.
    #[arg(long, default_value_t = 1)]
    occurrences: u32,
    /// One of so many faults, evenly.
    #[arg(long, default_value_t = 1, value_name = "N")]
    one_of: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Live on a ground until a fault of a plan ends the process
    #[command(hide = true)]
    Live {
        /// The ground, as JSON.
        ground: String,
        /// The plan, as JSON.
        plan: String,
    },
}

fn store(name: &str) -> Result<Place, String> {
    let known = Place::ALL.into_iter().find(|place| place.to_string() == name);
    known.ok_or_else(|| format!("there is no store `{name}`, but: sqlite, postgres"))
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Live { ground, plan }) = args.command {
        let (ground, plan): (Ground, Plan) = (serde_json::from_str(&ground)?, serde_json::from_str(&plan)?);
        println!("{}", serde_json::to_string(&live_on(&ground, plan)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = Wanted {
        deeds: args.deeds,
        occurrences: args.occurrences,
        text: args.only,
        one_of: args.one_of,
    };
    let (mut histories, mut transitions, mut violations) = (0, 0, 0);
    for place in Place::ALL {
        if args.store.is_some_and(|only| only != place) {
            continue;
        }
        let began = Instant::now();
        let suite = Suite {
            place,
            program: Some(std::env::current_exe()?),
        };
        let outcome = suite.run(&wanted)?;
        violations += report(place, &outcome);
        histories += outcome.played.len() + 1;
        transitions += outcome.transitions();
        println!("{place}: {:.0} seconds", began.elapsed().as_secs_f64());
    }
    println!("{histories} histories, {transitions} transitions, {violations} violations");
    Ok(if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what came of the lives of a store, and returns in how many something is violated.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn report(place: Place, outcome: &Outcome) -> usize {
    for played in outcome.wrong() {
        let faults: Vec<String> = played
            .plan
            .iter()
            .map(|planned| format!("{} {}", planned.kind, planned.point))
            .collect();
        println!("{place}: {} goes wrong:", faults.join(", then "));
        for problem in &played.ended.problems {
            println!("  {problem}");
        }
    }
    println!(
        "{place}: {} statements at {} points, {} histories with faults, {} of which did not come about",
        outcome.statements().len(),
        outcome.base.seen.len(),
        outcome.played.len(),
        outcome.missed(),
    );
    outcome.wrong().count()
}
