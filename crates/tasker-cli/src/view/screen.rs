//! Keeps a few lines at the bottom of a terminal up to date without flicker.
//!
//! Every frame is one write of what has changed, between the codes that have a terminal show it at once. The cursor is
//! hidden only within a frame, so that a process that is killed leaves a usable terminal behind. Log lines pass through
//! the screen too, and appear above the drawing.

use std::io::{self, Write};

use super::render::Size;
use super::text::{Colours, Line};

const BEGIN: &str = "\x1b[?2026h\x1b[?25l";
const END: &str = "\x1b[?25h\x1b[?2026l";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_TO_END: &str = "\x1b[K";

/// The lower end of a terminal.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    out: W,
    colours: Colours,
    drawn: Vec<Line>,
    columns: usize,
}

impl<W: Write> Screen<W> {
    /// Returns a screen on which nothing is drawn.
    pub(crate) fn new(out: W, colours: Colours) -> Self {
        Self {
            out,
            colours,
            drawn: Vec::new(),
            columns: 0,
        }
    }

    /// Shows these lines instead of those that are shown.
    pub(crate) fn draw(&mut self, lines: Vec<Line>, size: Size) -> io::Result<()> {
        if lines == self.drawn && size.columns == self.columns {
            return Ok(());
        }
        let mut frame = BEGIN.to_owned();
        let reflowed = self.columns != size.columns && !self.drawn.is_empty();
        frame.push_str(&self.to_top(size.columns));
        if reflowed {
            frame.push_str(CLEAR_BELOW);
        }
        for (index, line) in lines.iter().enumerate() {
            if reflowed || self.drawn.get(index) != Some(line) {
                frame.push_str(&line.render(self.colours));
                frame.push_str(CLEAR_TO_END);
            }
            frame.push_str("\r\n");
        }
        if lines.len() < self.drawn.len() {
            frame.push_str(CLEAR_BELOW);
        }
        frame.push_str(END);
        self.drawn = lines;
        self.columns = size.columns;
        self.write(&frame)
    }

    /// Writes text above the drawing.
    pub(crate) fn print_above(&mut self, text: &[u8]) -> io::Result<()> {
        if self.drawn.is_empty() {
            self.out.write_all(text)?;
            return self.out.flush();
        }
        let mut frame = BEGIN.as_bytes().to_vec();
        frame.extend(self.to_top(self.columns).bytes());
        frame.extend(CLEAR_BELOW.bytes());
        frame.extend(text);
        if !text.ends_with(b"\n") {
            frame.push(b'\n');
        }
        for line in &self.drawn {
            frame.extend(line.render(self.colours).bytes());
            frame.extend(b"\r\n");
        }
        frame.extend(END.bytes());
        self.out.write_all(&frame)?;
        self.out.flush()
    }

    /// Leaves the drawing where it is; what is drawn next goes below.
    pub(crate) fn leave(&mut self) {
        self.drawn.clear();
    }

    /// Returns the codes that move the cursor to the first line of the drawing.
    ///
    /// A terminal that became narrower has broken the lines, so they count for several. It is one column wider than
    /// what may be drawn.
    fn to_top(&self, columns: usize) -> String {
        let rows: usize = self
            .drawn
            .iter()
            .map(|line| line.width().div_ceil(columns + 1).max(1))
            .sum();
        if rows == 0 {
            "\r".to_owned()
        } else {
            format!("\r\x1b[{rows}A")
        }
    }

    fn write(&mut self, frame: &str) -> io::Result<()> {
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
