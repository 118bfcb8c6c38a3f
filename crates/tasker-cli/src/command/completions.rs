//! `tasker completions`.

use clap_complete::env::Shells;

use crate::args::Completions;
use crate::exit::{Exit, Problem};
use crate::output::Output;

/// The variable by which a script asks the program for completions.
const VARIABLE: &str = "COMPLETE";

/// Writes the completion script of a shell.
pub(super) fn run(arguments: &Completions) -> Result<Exit, Problem> {
    let failed = || Problem::refused("completions", "the script cannot be written");
    let shells = Shells::builtins();
    let shell = shells
        .completer(&arguments.shell.to_string())
        .ok_or_else(failed)?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "tasker", "tasker", "tasker", &mut script)
        .map_err(|error| failed().caused_by(&error))?;
    Output::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
