//! `cargo xtask exhaustive`: explores every small world, and says what is wrong in which.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use tests::exhaustive::{Bounds, Explored, Graphs, explore};

/// The most steps whose worlds can be explored in minutes.
const MOST: usize = 4;

/// Tries everything that can happen to small tasks, and verifies every state that they can come to.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask exhaustive",
    after_help = "Examples:\n  cargo xtask exhaustive\n  cargo xtask exhaustive --steps 3 --attempts 3"
)]
struct Args {
    /// Explore all graphs of up to so many steps.
    #[arg(long, default_value_t = MOST)]
    steps: usize,
    /// How often a step may be tried.
    #[arg(long, default_value_t = Bounds::default().attempts)]
    attempts: u32,
    /// How many leases may end in one history.
    #[arg(long, default_value_t = Bounds::default().lapses)]
    lapses: u8,
    /// Explore each graph with its steps in every order, which is the order in which they are handed out; without it that
    /// is done for up to three steps, and graphs of four are explored once each.
    #[arg(long)]
    every_order: bool,
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    ensure!(
        args.steps <= MOST,
        "`--steps` is at most {MOST}: more would take days"
    );
    let bounds = Bounds {
        attempts: args.attempts,
        lapses: args.lapses,
    };
    let mut total = Explored::default();
    for steps in 1..=args.steps {
        let which = if args.every_order || steps < MOST {
            Graphs::InEveryOrder
        } else {
            Graphs::UpToIsomorphism
        };
        let explored = explore(steps, which, bounds)?;
        let Explored { worlds, ended, .. } = explored;
        println!("{steps} steps: {worlds} worlds, {explored}; the task is over in {ended} states");
        total += explored;
    }
    for violation in &total.described {
        println!("{violation}");
    }
    println!("{total}");
    Ok(if total.violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
