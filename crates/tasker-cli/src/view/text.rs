//! Text for a terminal: styled spans, widths, durations.

use std::time::Duration;

use unicode_width::UnicodeWidthChar;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
    Waiting,
}

impl Style {
    /// Returns the code that switches the style on; empty for plain text.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Busy => "\x1b[36m",
            Self::Waiting => "\x1b[33m",
        }
    }
}

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    On,
    Off,
}

/// One line of styled text without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, String)>);

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::styled(Style::Plain, &text)
    }
}

impl Line {
    /// Returns a line of one piece of text.
    pub(crate) fn styled(style: Style, text: &str) -> Self {
        let mut line = Self::default();
        line.push(style, text);
        line
    }

    /// Appends text; control characters become spaces.
    pub(crate) fn push(&mut self, style: Style, text: &str) {
        if !text.is_empty() {
            self.0.push((style, printable(text)));
        }
    }

    /// Appends another line.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Appends text and spaces up to a width in columns.
    pub(crate) fn push_padded(&mut self, style: Style, text: &str, columns: usize) {
        self.push(style, text);
        self.push(Style::Plain, &" ".repeat(columns.saturating_sub(width(text))));
    }

    /// Returns the line, cut to a width in columns; an ellipsis shows that something is missing.
    pub(crate) fn cut(self, columns: usize) -> Self {
        let total: usize = self.0.iter().map(|(_, text)| width(text)).sum();
        if total <= columns {
            return self;
        }
        let mut left = columns;
        let mut spans = Vec::new();
        for (style, text) in self.0 {
            let whole = width(&text);
            // The ellipsis must fit, so a span that fills the line exactly is cut too.
            if whole < left {
                left -= whole;
                spans.push((style, text));
                continue;
            }
            spans.push((style, shorten(&text, left)));
            break;
        }
        Self(spans)
    }

    /// Returns the line without spaces at its end.
    pub(crate) fn trim_end(mut self) -> Self {
        while let Some((_, text)) = self.0.last_mut() {
            text.truncate(text.trim_end_matches(' ').len());
            if !text.is_empty() {
                break;
            }
            self.0.pop();
        }
        self
    }

    /// Returns the text without styles and without spaces at its end.
    pub(crate) fn plain(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// Returns the text as a terminal takes it.
    pub(crate) fn render(&self, colours: Colours) -> String {
        if colours == Colours::Off {
            return self.plain();
        }
        let mut text = String::new();
        for (style, span) in &self.0 {
            match style.code() {
                "" => text.push_str(span),
                code => {
                    text.push_str(code);
                    text.push_str(span);
                    text.push_str("\x1b[0m");
                }
            }
        }
        text.trim_end_matches(' ').to_owned()
    }

    /// Returns how many columns the line takes.
    pub(crate) fn width(&self) -> usize {
        width(&self.plain())
    }
}

/// Returns the text with control characters, line breaks among them, as spaces, and without characters that change
/// the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Returns lines of text without control characters in any of them.
pub(crate) fn printable_lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", printable(line)))
        .collect()
}

/// Returns the first line of a message that says anything, without control characters.
pub(crate) fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    printable(line).trim().to_owned()
}

/// Returns how many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Returns the text, cut to a width in columns with an ellipsis if it is longer.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        text.to_owned()
    } else {
        shorten(text, columns)
    }
}

/// Returns as much of a text as fits before an ellipsis, and the ellipsis.
fn shorten(text: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        short.push(c);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// Writes how long something took: `0.12 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`, `3 d 4 h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", floor(time, 100.0)),
        10..60 => format!("{:.1} s", floor(time, 10.0)),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Writes how long something has been going on, in tenths of a second at first.
pub(crate) fn ticking(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{:.1} s", floor(time, 10.0))
    } else {
        duration(time)
    }
}

/// Writes how long until something happens, in tenths of a second while it is near.
pub(crate) fn countdown(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        // Rounded up, so that it never says 0 while there is something to wait for.
        return format!("{:.1} s", (time.as_secs_f64() * 10.0).ceil() / 10.0);
    }
    duration(Duration::from_secs(time.as_secs_f64().ceil() as u64)).replace(".0 s", " s")
}

fn floor(time: Duration, parts: f64) -> f64 {
    (time.as_secs_f64() * parts).floor() / parts
}

/// Returns `1 step`, `2 steps`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn lasts(millis: u64, text: &str, until: &str) {
        assert_eq!(duration(Duration::from_millis(millis)), text);
        assert_eq!(countdown(Duration::from_millis(millis)), until);
    }

    #[test]
    fn durations_have_a_few_digits() {
        lasts(0, "0.00 s", "0.0 s");
        lasts(1_239, "1.23 s", "1.3 s");
        lasts(9_999, "9.99 s", "10.0 s");
        lasts(12_390, "12.3 s", "13 s");
        lasts(59_999, "59.9 s", "1 min 00 s");
        lasts(245_000, "4 min 05 s", "4 min 05 s");
        lasts(7_380_000, "2 h 03 min", "2 h 03 min");
        lasts(273_600_000, "3 d 4 h", "3 d 4 h");
    }

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn a_line_is_cut_across_its_spans() {
        let mut line = Line::default();
        line.push(Style::Good, "abc");
        line.push(Style::Plain, "defgh");
        assert_eq!(line.clone().cut(8).plain(), "abcdefgh");
        assert_eq!(line.clone().cut(7).plain(), "abcdef…");
        assert_eq!(line.clone().cut(3).plain(), "ab…");
        assert_eq!(line.clone().cut(4).plain(), "abc…");
        assert_eq!(line.render(Colours::On), "\x1b[32mabc\x1b[0mdefgh");
        assert_eq!(line.render(Colours::Off), "abcdefgh");
    }

    #[test]
    fn messages_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\tc\u{202e}d"), "a [2Jb cd");
        assert_eq!(first_line("\n  \nboom\nmore"), "boom");
    }
}
