use super::*;
use crate::view::text::Style;

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

mod drawn;
