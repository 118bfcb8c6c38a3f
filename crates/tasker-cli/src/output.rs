//! What a command writes to standard output: one JSON object, or text for a person.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;

use crate::args::{Common, Manner};
use crate::exit::{Exit, Problem};
use crate::view::terminal::Layout;
use crate::view::text::{Colours, Line, Style};

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
            Self::Json => write(&json(value)?),
            Self::Text | Self::Quiet => write(&text()),
        }
        .map(|_| ())
    }

    /// Writes one of several JSON objects, each on its own line; breaks off when nobody reads them any more.
    pub(crate) fn json_line<T: Serialize>(value: &T) -> Result<ControlFlow<()>, Problem> {
        write(&json(value)?)
    }

    /// Writes a text that is the result in whatever form was asked for, such as a script.
    pub(crate) fn text(text: &str) -> Result<(), Problem> {
        write(text).map(|_| ())
    }

    /// Reports an error: with `--json` as an object on standard output, otherwise to standard error.
    pub(crate) fn problem(self, problem: &Problem, colours: Colours) -> Exit {
        #[derive(Serialize)]
        struct Object<'a> {
            error: &'a Problem,
        }
        // There is nobody left to tell when this cannot be written.
        let _ = match self {
            Self::Json => self.result(&Object { error: problem }, String::new),
            Self::Text | Self::Quiet => {
                let text = problem.text(colours);
                let _ = io::stderr().lock().write_all(text.as_bytes());
                Ok(())
            }
        };
        problem.exit
    }
}

/// Reports what the argument parser says: help and version, or an error in the form that was asked for.
pub(crate) fn usage(error: &clap::Error, manner: Manner) -> Exit {
    if manner.json && error.use_stderr() {
        let text = error.render().to_string();
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        // What is wrong may take several lines, such as a list of what is missing.
        let message: Vec<&str> = lines()
            .take_while(|line| {
                !["tip: ", "Usage: ", "For more"]
                    .iter()
                    .any(|next| line.starts_with(next))
            })
            .collect();
        let message = message.join(" ");
        let problem = Problem::refused("usage", message.strip_prefix("error: ").unwrap_or(&message));
        let help = lines().find(|line| line.starts_with("tip: ")).map(str::to_owned);
        return Output::Json.problem(&Problem { help, ..problem }, Colours::Off);
    }
    // There is nobody left to tell when this cannot be written.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Refused
    } else {
        Exit::Done
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Problem> {
    serde_json::to_string(value)
        .map_err(|error| Problem::refused("output", "the result cannot be written as JSON").caused_by(&error))
}

/// Writes text to standard output, with a line break at its end; breaks off when its reader has gone away.
fn write(text: &str) -> Result<ControlFlow<()>, Problem> {
    let mut out = io::stdout().lock();
    let line_break = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(line_break.as_bytes()))
        .and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Problem::refused("output", "standard output cannot be written").caused_by(&error)),
    }
}

/// A table for a person: a heading, and rows with aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<Line>>,
}

/// A column that must give way becomes no narrower than this.
const NARROWEST: usize = 8;
/// How many spaces stand between columns.
const GAP: usize = 2;

impl Table {
    /// Returns a table with only a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            rows: vec![
                heading
                    .iter()
                    .map(|name| Line::styled(Style::Dim, name))
                    .collect(),
            ],
        }
    }

    /// Appends a row.
    pub(crate) fn row<C: Into<Line>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells = cells.into_iter().map(|cell| cell.into().trim_end());
        self.rows.push(cells.collect());
    }

    /// Writes the rows as lines that fit; the last column is not padded.
    ///
    /// When there is too little room the widest columns are cut first.
    pub(crate) fn render(&self, layout: Layout) -> String {
        let columns = self.columns(layout.columns);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = Line::default();
            for (column, cell) in columns.iter().zip(row) {
                let cell = cell.clone().cut(*column);
                let gap = column - cell.width() + GAP;
                line.extend(cell);
                line.push(Style::Plain, &" ".repeat(gap));
            }
            let line = line.trim_end();
            let line = match layout.columns {
                Some(columns) => line.cut(columns),
                None => line,
            };
            text.push_str(&line.render(layout.colours));
            text.push('\n');
        }
        text
    }

    /// Returns how wide each column is.
    fn columns(&self, room: Option<usize>) -> Vec<usize> {
        let mut columns = Vec::new();
        for row in &self.rows {
            columns.resize(columns.len().max(row.len()), 0);
            for (column, cell) in columns.iter_mut().zip(row) {
                *column = cell.width().max(*column);
            }
        }
        let Some(room) = room else { return columns };
        let gaps = columns.len().saturating_sub(1) * GAP;
        while columns.iter().sum::<usize>() + gaps > room {
            match columns.iter_mut().max_by_key(|column| **column) {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::text::{Colours, width};

    fn table() -> Table {
        let mut table = Table::new(&["ID", "STATE", "NOTE"]);
        table.row(["0198", "complete", ""].map(str::to_owned));
        table.row(["日本\n", "", "在庫がありません, und noch mehr"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table().render(Layout::PLAIN),
            "ID    STATE     NOTE\n0198  complete\n日本            在庫がありません, und noch mehr\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let fitted = |columns| {
            let layout = Layout {
                columns: Some(columns),
                ..Layout::PLAIN
            };
            table().render(layout)
        };
        assert_eq!(
            fitted(30),
            "ID    STATE     NOTE\n0198  complete\n日本            在庫がありま…\n"
        );
        for columns in 0..60 {
            assert!(
                fitted(columns).lines().all(|line| width(line) <= columns),
                "{columns}"
            );
        }
        assert_eq!(fitted(60), table().render(Layout::PLAIN));
    }

    #[test]
    fn cells_keep_their_colours() {
        let mut table = Table::new(&["STATE"]);
        table.row([Line::styled(Style::Bad, "error")]);
        let layout = Layout {
            columns: None,
            colours: Colours::On,
        };
        assert_eq!(
            table.render(layout),
            "\x1b[2mSTATE\x1b[0m\n\x1b[31merror\x1b[0m\n"
        );
    }
}
