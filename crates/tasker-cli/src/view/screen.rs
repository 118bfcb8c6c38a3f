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
    /// A terminal that became narrower has broken the lines, so they count for several.
    fn to_top(&self, columns: usize) -> String {
        let rows: usize = self
            .drawn
            .iter()
            .map(|line| line.width().div_ceil(columns.max(1)).max(1))
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
mod tests {
    use super::super::text::Style;
    use super::*;

    const SIZE: Size = Size {
        columns: 20,
        rows: 10,
    };

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |text: &&str| {
            let mut line = Line::default();
            line.push(Style::Plain, text);
            line
        };
        texts.iter().map(line).collect()
    }

    fn screen() -> Screen<Vec<u8>> {
        Screen::new(Vec::new(), Colours::Off)
    }

    /// Returns what was written since the last time, its escapes as `^`.
    fn written(screen: &mut Screen<Vec<u8>>) -> String {
        let text = String::from_utf8(std::mem::take(&mut screen.out)).unwrap();
        text.replace(BEGIN, "<")
            .replace(END, ">")
            .replace('\x1b', "^")
            .replace("\r\n", "|")
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut screen = screen();
        screen.draw(lines(&["one", "two"]), SIZE).unwrap();
        assert_eq!(written(&mut screen), "<\rone^[K|two^[K|>");
        screen.draw(lines(&["one", "2"]), SIZE).unwrap();
        assert_eq!(written(&mut screen), "<\r^[2A|2^[K|>");
        screen.draw(lines(&["one", "2"]), SIZE).unwrap();
        assert_eq!(written(&mut screen), "");
    }

    #[test]
    fn lines_that_are_no_longer_there_are_cleared() {
        let mut screen = screen();
        screen.draw(lines(&["one", "two"]), SIZE).unwrap();
        written(&mut screen);
        screen.draw(lines(&["one"]), SIZE).unwrap();
        assert_eq!(written(&mut screen), "<\r^[2A|^[J>");
    }

    #[test]
    fn a_narrower_terminal_is_drawn_anew() {
        let mut screen = screen();
        screen.draw(lines(&["0123456789", "x"]), SIZE).unwrap();
        written(&mut screen);
        screen
            .draw(lines(&["0123…", "x"]), Size { columns: 5, rows: 10 })
            .unwrap();
        assert_eq!(written(&mut screen), "<\r^[3A^[J0123…^[K|x^[K|>");
    }

    #[test]
    fn log_lines_appear_above() {
        let mut screen = screen();
        screen.print_above(b"early\n").unwrap();
        assert_eq!(written(&mut screen), "early\n");
        screen.draw(lines(&["one"]), SIZE).unwrap();
        written(&mut screen);
        screen.print_above(b"WARN late").unwrap();
        assert_eq!(written(&mut screen), "<\r^[1A^[JWARN late\none|>");
    }

    #[test]
    fn the_cursor_is_hidden_only_within_a_frame() {
        let mut screen = screen();
        screen.draw(lines(&["one"]), SIZE).unwrap();
        screen.print_above(b"x\n").unwrap();
        screen.leave();
        screen.draw(lines(&["two"]), SIZE).unwrap();
        let text = String::from_utf8(screen.out).unwrap();
        assert_eq!(
            text.matches("\x1b[?25l").count(),
            text.matches("\x1b[?25h").count()
        );
    }
}
