//! `tasker completions`.

use std::io;

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::exit::{Exit, Problem};

/// Writes the completion script of a shell.
pub(super) fn run(arguments: &Completions) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "tasker", &mut script);
    match io::Write::write_all(&mut io::stdout().lock(), &script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::refused("output", "standard output cannot be written").caused_by(&error))
        }
        _ => Ok(Exit::Done),
    }
}
