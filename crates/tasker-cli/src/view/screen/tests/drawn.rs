//! What a terminal shows after each frame, by a terminal that is only a parser.

use tasker_types::{StepState, TaskState, Timestamp};

use super::*;
use crate::view::model::{Model, Step};
use crate::view::render::render;

const WIDTHS: [usize; 4] = [20, 40, 80, 200];
const ROWS: usize = 12;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + millis * 1_000)
}

fn step(name: &str, state: StepState, started: i64) -> Step {
    Step {
        name: name.to_owned(),
        parents: Vec::new(),
        state,
        attempts: 1,
        retry_limit: 3,
        retryable: true,
        permanent: false,
        due_at: None,
        started_at: Some(at(started)),
        finished_at: (state != StepState::InProgress).then(|| at(started + 90)),
        progress: None,
        error: None,
    }
}

/// A task as it is after so many tenths of a second: steps end one after the other, and one fails with wide words.
fn model(tenths: i64) -> Model {
    let steps = (0..6).map(|number| {
        let state = if number * 3 < tenths {
            StepState::Complete
        } else {
            StepState::InProgress
        };
        step(&format!("extract_part_{number}"), state, 0)
    });
    let mut failed = step("charge", StepState::Error, 0);
    failed.error = Some(format!(
        "在庫がありません 🚀 e\u{301}tat {tenths} {}",
        "日本".repeat(60)
    ));
    failed.due_at = Some(at(5_000));
    Model {
        id: "019b76da-a800-7000-8000-00000000002a".to_owned(),
        name: "default_system.customer_analytics@1.0.0".to_owned(),
        state: TaskState::InProgress,
        failure: None,
        created_at: at(0),
        finished_at: None,
        steps: steps.chain([failed]).collect(),
        position: tasker_types::Position(0),
    }
}

struct Shown {
    screen: Screen<Vec<u8>>,
    terminal: vt100::Parser,
    size: Size,
}

impl Shown {
    fn new(columns: usize) -> Self {
        Self {
            screen: Screen::new(Vec::new(), Colours::On),
            terminal: vt100::Parser::new(ROWS as u16, columns as u16, 100),
            size: Size {
                columns: columns - 1,
                rows: ROWS - 1,
            },
        }
    }

    /// Has the terminal take in what was written, and returns that.
    fn pass_on(&mut self) -> String {
        let bytes = std::mem::take(&mut self.screen.out);
        self.terminal.process(&bytes);
        String::from_utf8(bytes).unwrap()
    }

    fn draw(&mut self, lines: &[Line]) -> String {
        self.screen.draw(lines.to_vec(), self.size).unwrap();
        self.pass_on()
    }

    /// The rows of the terminal that have anything on them.
    fn rows(&self) -> Vec<String> {
        let contents = self.terminal.screen().contents();
        contents.lines().map(|row| row.trim_end().to_owned()).collect()
    }
}

fn plain(lines: &[Line]) -> Vec<String> {
    lines.iter().map(Line::plain).collect()
}

#[test]
fn every_frame_is_what_the_terminal_shows() {
    for columns in WIDTHS {
        let mut shown = Shown::new(columns);
        let mut before: Vec<Line> = Vec::new();
        for tenths in 0..20 {
            let lines = render(&model(tenths), at(tenths * 100), shown.size);
            let written = shown.draw(&lines);
            assert_eq!(shown.rows(), plain(&lines), "{columns} columns, {tenths}");
            // Lines that have not changed are not written again, and the whole frame is shown at once.
            let changed = (0..lines.len()).filter(|row| lines.get(*row) != before.get(*row));
            assert_eq!(
                written.matches(CLEAR_TO_END).count(),
                changed.count(),
                "{written:?}"
            );
            assert_eq!(
                written.matches("\x1b[2J").count() + written.matches(CLEAR_BELOW).count(),
                0
            );
            if lines == before {
                assert_eq!(written, "");
            } else {
                assert!(
                    written.starts_with(BEGIN) && written.ends_with(END),
                    "{written:?}"
                );
            }
            assert!(!shown.terminal.screen().hide_cursor());
            before = lines;
        }
    }
}

#[test]
fn messages_above_scroll_and_the_drawing_stays_whole() {
    for columns in WIDTHS {
        let mut shown = Shown::new(columns);
        shown.terminal.process(b"$ tasker run pipeline.yaml\r\n");
        for tenths in 0..20 {
            let lines = render(&model(tenths), at(tenths * 100), shown.size);
            shown.draw(&lines);
            let message = format!("WARN {tenths} {}\r\n", "在庫".repeat(30));
            shown.screen.print_above(message.as_bytes()).unwrap();
            shown.pass_on();
            let rows = shown.rows();
            let drawing = rows.len() - lines.len();
            assert_eq!(rows[drawing..], plain(&lines), "{columns} columns, {tenths}");
        }
    }
}

#[test]
fn what_stood_above_survives_a_narrower_terminal() {
    let mut shown = Shown::new(80);
    shown.terminal.process(b"$ tasker run pipeline.yaml\r\n");
    let size = Size { columns: 40, rows: 5 };
    let first = render(&model(0), at(0), Size { columns: 60, rows: 5 });
    shown.draw(&first);
    // The terminal breaks the lines that no longer fit, as those do that keep what is written.
    let mut narrow = vt100::Parser::new(ROWS as u16, size.columns as u16 + 1, 100);
    narrow.process(b"$ tasker run pipeline.yaml\r\n");
    for line in &first {
        narrow.process(format!("{}\r\n", line.render(Colours::On)).as_bytes());
    }
    shown.terminal = narrow;
    shown.size = size;
    let lines = render(&model(1), at(100), size);
    shown.draw(&lines);
    let rows = shown.rows();
    assert_eq!(rows[0], "$ tasker run pipeline.yaml");
    assert_eq!(rows[1..], plain(&lines));
}
