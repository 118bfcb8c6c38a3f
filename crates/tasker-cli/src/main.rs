//! The command `tasker`.

mod args;
mod command;
mod complete;
mod database;
mod exit;
mod faults;
mod input;
mod locate;
mod logging;
mod output;
mod remote;
mod session;
mod settings;
mod signals;
mod summary;
mod view;
mod when;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;

use crate::args::Manner;

fn main() -> ExitCode {
    // A shell that asks for completions sets a variable, and is answered instead.
    CompleteEnv::with_factory(args::Cli::command).complete();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let manner = Manner::of(&arguments);
    let parsed = args::Cli::command()
        .color(manner.color)
        .try_get_matches_from(&arguments)
        .and_then(|matches| args::Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => command::run(cli),
        Err(error) => output::usage(&args::with_hint(error, &arguments), manner),
    }
    .into()
}
