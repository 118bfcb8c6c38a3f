//! A directory in which the command is run, and what it left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Two steps: `greet`, then `shout` with its result.
pub(crate) const GREETING: &str = r#"
name: greeting
steps:
  - name: greet
    handler: command
    config: { program: sh, args: ["-c", "echo '{\"text\": \"hello\"}'"] }
  - name: shout
    handler: command
    depends_on: [greet]
    config: { program: sh, args: ["-c", "tr a-z A-Z > seen.txt; echo 7"] }
"#;

/// One step that fails at its only attempt.
pub(crate) const FAILING: &str = r#"
name: failing
steps:
  - name: good
    handler: command
    config: { program: "true" }
  - name: bad
    handler: command
    retry_limit: 1
    depends_on: [good]
    config: { program: sh, args: ["-c", "echo 'no such account' >&2; exit 65"] }
  - name: after
    handler: command
    depends_on: [bad]
    config: { program: "true" }
"#;

/// A directory of its own.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A place with a file in it.
    pub(crate) fn with(name: &str, text: &str) -> Self {
        let place = Self::new();
        place.write(name, text);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command, not yet run.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasker"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TASKER_DATA_DIR", self.path("data"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; the line is split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line.split_whitespace())
    }

    /// Runs a command to its end.
    pub(crate) fn run_with<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command.
    pub(crate) fn start(&self, line: &str) -> Started {
        let mut child = self
            .command(line.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Started {
            child,
            stderr,
            seen: String::new(),
        }
    }

    /// Starts a command and waits until a line of its standard error has this text.
    pub(crate) fn start_until(&self, line: &str, text: &str) -> Started {
        let mut started = self.start(line);
        started.until(text);
        started
    }

    /// The id of the newest task.
    pub(crate) fn newest_task(&self) -> String {
        let listed = self.run("task list --limit 1 --json").json();
        listed["tasks"][0]["task_id"].as_str().unwrap().to_owned()
    }
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Started {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits until a line of standard error has this text.
    pub(crate) fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(
                self.stderr.read_line(&mut self.seen).unwrap() > 0,
                "it ended: {}",
                self.seen
            );
        }
    }

    /// Goes away as a reader of standard output.
    pub(crate) fn close_stdout(&mut self) {
        self.child.stdout.take();
    }

    /// Waits for the end of a command whose output nobody reads, and returns its exit code.
    pub(crate) fn end_unread(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        self.stderr.read_to_string(&mut self.seen).unwrap();
        let code = self.child.wait().unwrap().code();
        Ran {
            code,
            stdout,
            stderr: self.seen,
        }
    }
}

impl Ran {
    /// Checks how it ended.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The one JSON object of standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(
            self.stdout.matches('\n').count(),
            1,
            "not one line:\n{}",
            self.stdout
        );
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The error that `--json` reports: its code and message.
    #[track_caller]
    pub(crate) fn error(&self) -> (String, String) {
        assert_eq!(self.stderr, "");
        let text = |key: &str| self.json()["error"][key].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }

    /// Checks that standard output has a text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "no `{text}` in stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Checks that standard error has a text.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "no `{text}` in stderr:\n{}\nstdout:\n{}",
            self.stderr,
            self.stdout
        );
        self
    }
}

/// The names and states of a report's steps.
pub(crate) fn states(report: &Value) -> Vec<(&str, &str, u64)> {
    let steps = report["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| {
            let name = step["name"].as_str().unwrap();
            (
                name,
                step["state"].as_str().unwrap(),
                step["attempts"].as_u64().unwrap(),
            )
        })
        .collect()
}
