//! The commands. Each reads its arguments, asks the crates below, and writes its result.

mod completions;
mod config;
mod doctor;
mod graph;
mod handlers;
mod man;
mod migrate;
mod new;
mod prune;
mod resume;
mod run;
mod serve;
mod task;
mod token;
mod transfer;
mod verify;
mod worker;

use std::io::IsTerminal;

use tasker::config::Environment;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::terminal::colours;

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Exit {
    let (output, choice) = (Output::of(&cli.common), cli.common.color);
    dispatch(cli).unwrap_or_else(|problem| {
        let is_terminal = std::io::stderr().is_terminal();
        output.problem(&problem, colours(choice, &Environment::of_process(), is_terminal))
    })
}

fn dispatch(cli: Cli) -> Result<Exit, Problem> {
    // These need no configuration, or are about a faulty one.
    let session = |common| Session::start(common);
    if let (Some(_), false) = (&cli.common.server, matches!(cli.command, Command::Task(_))) {
        return Err(Problem::refused(
            "server_not_possible",
            "`--server` is for the commands of `tasker task`; this command works with a database, or with none",
        )
        .with_help("leave out --server, or run the command where the database is"));
    }
    match cli.command {
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&cli.common, &arguments),
        Command::New(arguments) => new::run(&cli.common, &arguments),
        Command::Config(arguments) => config::run(&cli.common, arguments),
        Command::Migrate(arguments) => migrate::run(&session(cli.common)?, &arguments),
        Command::Verify(arguments) => verify::run(&session(cli.common)?, &arguments),
        Command::Doctor(_) => doctor::run(&session(cli.common)?),
        Command::Move(arguments) => transfer::run(&session(cli.common)?, &arguments),
        Command::Prune(arguments) => prune::run(&session(cli.common)?, &arguments),
        Command::Resume(arguments) => resume::run(&session(cli.common)?, &arguments),
        Command::Worker(arguments) => worker::run(&session(cli.common)?, &arguments),
        Command::Run(arguments) => run::run(&session(cli.common)?, &arguments),
        Command::Task(arguments) => task::run(&session(cli.common)?, arguments),
        Command::Graph(arguments) => graph::run(&session(cli.common)?, arguments),
        Command::Serve(arguments) => serve::run(&session(cli.common)?, &arguments),
        Command::Token(arguments) => token::run(&session(cli.common)?, arguments),
        Command::Handlers(_) => handlers::run(&session(cli.common)?),
    }
}
