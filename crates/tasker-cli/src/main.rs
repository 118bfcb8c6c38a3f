//! The command `tasker`.

mod args;
mod command;
mod database;
mod exit;
mod faults;
mod input;
mod locate;
mod logging;
mod output;
mod session;
mod settings;
mod signals;
mod summary;
mod view;
mod work;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => command::run(cli),
        Err(error) => output::usage(&error),
    }
    .into()
}
