//! What a command writes to standard output: one JSON object, or text for a person.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::Common;
use crate::exit::{Exit, Problem};

/// Writes the result of a command in the form that was asked for.
///
/// Standard output gets the result and nothing else; with `--json` it is exactly one line with one JSON object, also
/// for an error. Everything else, such as the view, goes to standard error. A reader that has gone away is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Text for a person.
    Text,
    /// Nothing but the result.
    Quiet,
    /// One JSON object.
    Json,
}

impl Output {
    /// Returns the form that the options ask for.
    pub(crate) fn of(common: &Common) -> Self {
        match (common.json, common.quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Quiet,
            (false, false) => Self::Text,
        }
    }

    /// Writes the result: as JSON, or as the text that a person reads.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        match self {
            Self::Json => {
                let mut line = serde_json::to_string(value).map_err(|error| {
                    Problem::refused("output", "the result cannot be written as JSON").caused_by(&error)
                })?;
                line.push('\n');
                print(&line)
            }
            Self::Text | Self::Quiet => print(&text()),
        }
    }

    /// Reports an error: with `--json` as an object on standard output, otherwise to standard error.
    pub(crate) fn problem(self, problem: &Problem) -> Exit {
        #[derive(Serialize)]
        struct Object<'a> {
            error: &'a Problem,
        }
        // There is nobody left to tell when this cannot be written.
        let _ = match self {
            Self::Json => self.result(&Object { error: problem }, String::new),
            Self::Text | Self::Quiet => {
                let mut text = problem.to_string();
                text.push('\n');
                let _ = io::stderr().lock().write_all(text.as_bytes());
                Ok(())
            }
        };
        problem.exit
    }
}

/// Reports what the argument parser says: help and version, or an error in the form that was asked for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // The options could not be read, so this looks for the one that matters.
    let json = std::env::args_os()
        .skip(1)
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default();
        let problem = Problem::refused("usage", message.strip_prefix("error: ").unwrap_or(message));
        let help = lines.find(|line| line.starts_with("tip: ")).map(str::to_owned);
        return Output::Json.problem(&Problem { help, ..problem });
    }
    // There is nobody left to tell when this cannot be written.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Refused
    } else {
        Exit::Done
    }
}

/// Writes text to standard output, with a line break at its end.
fn print(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    let line_break = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(line_break.as_bytes()))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::refused("output", "standard output cannot be written").caused_by(&error))
        }
        _ => Ok(()),
    }
}

/// A table for a person: a heading, and rows with aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table with only a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            rows: vec![heading.iter().map(ToString::to_string).collect()],
        }
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| crate::view::text::printable(&cell))
                .collect(),
        );
    }

    /// Writes the rows as lines; the last column is not padded.
    pub(crate) fn render(&self) -> String {
        use crate::view::text::width;
        let mut columns = Vec::new();
        for row in &self.rows {
            columns.resize(columns.len().max(row.len()), 0);
            for (column, cell) in columns.iter_mut().zip(row) {
                *column = width(cell).max(*column);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in columns.iter().zip(row) {
                line.push_str(cell);
                line.push_str(&" ".repeat(column - width(cell) + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["ID", "STATE"]);
        table.row(["0198".to_owned(), "complete".to_owned()]);
        table.row(["日本\n".to_owned(), String::new()]);
        assert_eq!(table.render(), "ID     STATE\n0198   complete\n日本\n");
    }
}
