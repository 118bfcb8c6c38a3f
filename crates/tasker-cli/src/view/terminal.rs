//! The terminal on standard error, shared by the view and the log.

use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

impl Terminal {
    /// Looks at standard error, and at `NO_COLOR` and `TERM`, which are about the terminal and no configuration.
    pub(crate) fn stderr(environment: &Environment) -> Self {
        let stderr = io::stderr();
        let dumb = environment.terminal().is_none_or(|terminal| terminal == "dumb");
        let no_colour = environment.no_color();
        let kind = if stderr.is_terminal() && !dumb {
            Kind::Live
        } else {
            Kind::Lines
        };
        let colours = if kind == Kind::Live && !no_colour {
            Colours::On
        } else {
            Colours::Off
        };
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
        let (columns, rows) = match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
            _ => (80, 24),
        };
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
