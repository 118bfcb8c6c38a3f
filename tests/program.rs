//! The program `tasker`, as a person runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// Returns the program that was built beside these tests; builds it if there is none.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let profile = tests.parent().and_then(Path::parent).unwrap();
        let program = profile.join("tasker");
        if !program.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "tasker-cli", "--target-dir"]);
            build
                .arg(profile.parent().unwrap())
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            if profile.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "tasker-cli should build");
        }
        program
    })
}

/// A directory with templates, and one with the tasks that `tasker` keeps.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Returns a command that runs `tasker` here and is told nothing by the environment.
    pub(crate) fn tasker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        for variable in [
            "TASKER_CONFIG",
            "TASKER_DATA_DIR",
            "TASKER_PROFILE",
            "TASKER_DATABASE__URL",
        ] {
            command.env_remove(variable);
        }
        command
            .args(arguments)
            .args(["--json", "--data-dir"])
            .arg(self.path("data"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `tasker` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(arguments, &self.tasker(arguments).output().unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output, one JSON object.
    pub(crate) said: Value,
    pub(crate) complained: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn of(what: &[&str], output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("{what:?} wrote no JSON ({error}): {stdout}\n{complained}"));
        Self {
            code: output.status.code(),
            said,
            complained,
        }
    }

    #[track_caller]
    pub(crate) fn well(self) -> Value {
        assert_eq!(self.code, Some(0), "{}\n{}", self.said, self.complained);
        self.said
    }
}

/// Returns a step of a task as `tasker` shows it.
#[track_caller]
pub(crate) fn step<'a>(task: &'a Value, name: &str) -> &'a Value {
    let steps = task["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["name"] == name)
        .unwrap_or_else(|| panic!("no step `{name}` in {task}"))
}
