//! The terminal on standard error, shared by the view and the log.

use std::io::{self, IsTerminal, Stderr, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ColorChoice;
use tasker::config::Environment;
use tracing_subscriber::fmt::MakeWriter;

use super::render::Size;
use super::screen::Screen;
use super::text::{Colours, Line};

/// Standard error. Copies are the same.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    screen: Arc<Mutex<Screen<Stderr>>>,
    kind: Kind,
    colours: Colours,
}

/// What is at the other end of standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A terminal that understands escape codes.
    Live,
    /// A file, a pipe, or a terminal that can only add lines.
    Lines,
}

/// Returns how many columns and rows the terminal behind a file has, if it is one that says so.
fn window(file: impl AsFd) -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(file).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

fn is_dumb(environment: &Environment) -> bool {
    environment.terminal().is_none_or(|terminal| terminal == "dumb")
}

/// Decides whether text is coloured: the option counts most, then `NO_COLOR`, then what reads it.
pub(crate) fn colours(choice: ColorChoice, environment: &Environment, is_terminal: bool) -> Colours {
    let on = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && !environment.no_color() && !is_dumb(environment),
    };
    if on { Colours::On } else { Colours::Off }
}

/// How a result for a person is laid out on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How wide lines may be; a file takes lines of any width.
    pub(crate) columns: Option<usize>,
    /// Whether words are coloured.
    pub(crate) colours: Colours,
}

impl Layout {
    /// Lines of any width without colours.
    pub(crate) const PLAIN: Self = Self {
        columns: None,
        colours: Colours::Off,
    };

    /// Returns what fits standard output.
    pub(crate) fn stdout(environment: &Environment, choice: ColorChoice) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let columns = window(&stdout).or(is_terminal.then_some((80, 24)));
        Self {
            columns: columns.map(|(columns, _)| usize::from(columns)),
            colours: colours(choice, environment, is_terminal),
        }
    }
}

impl Terminal {
    /// Looks at standard error, and at `NO_COLOR` and `TERM`, which are about the terminal and no configuration.
    pub(crate) fn stderr(environment: &Environment, choice: ColorChoice) -> Self {
        let stderr = io::stderr();
        let kind = if stderr.is_terminal() && !is_dumb(environment) {
            Kind::Live
        } else {
            Kind::Lines
        };
        let colours = colours(choice, environment, stderr.is_terminal());
        Self {
            screen: Arc::new(Mutex::new(Screen::new(stderr, colours))),
            kind,
            colours,
        }
    }

    /// Tells what is at the other end.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells whether text may be coloured.
    pub(crate) fn colours(&self) -> Colours {
        self.colours
    }

    /// Returns how much can be drawn.
    ///
    /// The last column stays free, since terminals differ in what they do there; so does the last row, where the
    /// cursor waits.
    pub(crate) fn size(&self) -> Size {
        let (columns, rows) = window(io::stderr()).unwrap_or((80, 24));
        Size {
            columns: usize::from(columns - 1),
            rows: usize::from(rows - 1),
        }
    }

    /// Shows these lines instead of those that are shown.
    pub(crate) fn draw(&self, lines: Vec<Line>, size: Size) {
        // A terminal that has gone away is no reason to stop working.
        let _ = self.screen().draw(lines, size);
    }

    /// Writes a line above what is drawn.
    pub(crate) fn line(&self, line: &Line) {
        let mut text = line.render(self.colours);
        text.push('\n');
        let _ = self.screen().print_above(text.as_bytes());
    }

    /// Leaves what is drawn where it is.
    pub(crate) fn leave(&self) {
        self.screen().leave();
    }

    fn screen(&self) -> MutexGuard<'_, Screen<Stderr>> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = Above;

    fn make_writer(&'a self) -> Above {
        Above(self.clone())
    }
}

/// Writes above what is drawn.
#[derive(Debug)]
pub(crate) struct Above(Terminal);

impl Write for Above {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.screen().print_above(text)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(choice: ColorChoice, variables: &[(&str, &str)], is_terminal: bool, expected: Colours) {
        let environment: Environment = variables.iter().copied().collect();
        assert_eq!(colours(choice, &environment, is_terminal), expected);
    }

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        const XTERM: (&str, &str) = ("TERM", "xterm");
        check(ColorChoice::Auto, &[XTERM], true, Colours::On);
        check(ColorChoice::Auto, &[XTERM], false, Colours::Off);
        check(ColorChoice::Auto, &[XTERM, ("NO_COLOR", "1")], true, Colours::Off);
        check(ColorChoice::Auto, &[XTERM, ("NO_COLOR", "")], true, Colours::On);
        check(ColorChoice::Auto, &[("TERM", "dumb")], true, Colours::Off);
        check(ColorChoice::Auto, &[], true, Colours::Off);
        check(ColorChoice::Always, &[("NO_COLOR", "1")], false, Colours::On);
        check(ColorChoice::Never, &[XTERM], true, Colours::Off);
    }
}
