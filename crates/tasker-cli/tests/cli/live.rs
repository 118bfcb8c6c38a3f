//! The live view on a real terminal, or what a program takes for one.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::place::Place;

/// Two steps; the second fails for good with wide words in its message.
const WIDE: &str = r#"
name: wide
steps:
  - name: fetch_everything_from_the_warehouse
    handler: command
    config: { program: sh, args: ["-c", "sleep 0.4"] }
  - name: charge
    handler: command
    depends_on: [fetch_everything_from_the_warehouse]
    config: { program: sh, args: ["-c", "echo '在庫がありません 🚀 在庫がありません 在庫がありません 在庫がありません' >&2; exit 65"] }
"#;

const ROWS: u16 = 24;

/// What a terminal has seen of a command.
struct Seen {
    code: Option<i32>,
    bytes: String,
    terminal: vt100::Parser,
    took: Duration,
}

impl Seen {
    /// The rows of the terminal that have anything on them.
    fn rows(&self) -> Vec<String> {
        let contents = self.terminal.screen().contents();
        contents.lines().map(|row| row.trim_end().to_owned()).collect()
    }

    fn frames(&self) -> usize {
        self.bytes.matches("\x1b[?2026h").count()
    }
}

/// Runs a command whose standard error is a terminal of this width.
fn run(place: &Place, line: &str, columns: u16, variables: &[(&str, &str)]) -> Seen {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    rustix::termios::tcsetwinsize(
        ours.as_fd(),
        Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let begun = Instant::now();
    let mut command = place.command(line.split_whitespace());
    let mut child = command
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    // Its own copy would keep the terminal open.
    drop(command);
    let mut terminal = vt100::Parser::new(ROWS, columns, 0);
    let mut bytes = Vec::new();
    let mut ours = File::from(ours);
    let mut buffer = [0; 4096];
    // The end of a terminal is an error on Linux.
    while let Ok(read @ 1..) = ours.read(&mut buffer) {
        terminal.process(&buffer[..read]);
        bytes.extend_from_slice(&buffer[..read]);
    }
    Seen {
        code: child.wait().unwrap().code(),
        bytes: String::from_utf8(bytes).unwrap(),
        terminal,
        took: begun.elapsed(),
    }
}

#[test]
fn the_drawing_fits_every_width() {
    for columns in [20, 40, 80, 200] {
        let place = Place::with("wide.yaml", WIDE);
        let seen = run(&place, "run wide.yaml", columns, &[]);
        assert_eq!(seen.code, Some(1));
        let rows = seen.rows();
        // A headline, the progress, and one row for each step: nothing was broken, nothing was left behind.
        assert_eq!(rows.len(), 4, "{columns}: {rows:#?}");
        assert!(rows[0].starts_with("error  default_sys"), "{rows:#?}");
        assert!(rows[2].starts_with("✓ fetch_every"), "{rows:#?}");
        assert!(rows[3].starts_with("✗ charge"), "{rows:#?}");
        if columns >= 80 {
            assert!(
                rows[3].contains("for good: ") && rows[3].contains("在庫"),
                "{rows:#?}"
            );
        }
        // Never more than ten frames a second, but for the first and the last.
        let most = seen.took.as_millis() as usize / 100 + 3;
        assert!(
            (2..=most).contains(&seen.frames()),
            "{} frames in {:?}",
            seen.frames(),
            seen.took
        );
        assert!(!seen.terminal.screen().hide_cursor());
        assert!(seen.bytes.contains("\x1b[32m"), "there are colours");
    }
}

#[test]
fn colours_can_be_switched_off() {
    let place = Place::with("wide.yaml", WIDE);
    for (line, variables) in [
        ("run wide.yaml", &[("NO_COLOR", "1")][..]),
        ("run wide.yaml --color never", &[]),
    ] {
        let seen = run(&place, line, 80, variables);
        assert!(
            seen.frames() > 1 && !seen.bytes.contains("m✓"),
            "{:?}",
            seen.bytes
        );
        for colour in 31..38 {
            assert!(
                !seen.bytes.contains(&format!("\x1b[{colour}m")),
                "{:?}",
                seen.bytes
            );
        }
    }
    let piped = place.run("task list --color always").exits(0);
    piped.says("\x1b[31merror\x1b[0m");
}

#[test]
fn a_terminal_that_can_only_add_lines_gets_lines() {
    let place = Place::with("wide.yaml", WIDE);
    let seen = run(&place, "run wide.yaml", 80, &[("TERM", "dumb")]);
    assert!(!seen.bytes.contains('\x1b'), "{:?}", seen.bytes);
    assert!(
        seen.bytes.contains("charge                    failed"),
        "{:?}",
        seen.bytes
    );
}
