//! The `command` handler: runs a program.
//!
//! The step's input is JSON on the program's standard input, its result JSON on standard output. The program runs in a
//! process group of its own; stopping it stops the group: SIGTERM, and SIGKILL five seconds later.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tasker_engine::{CheckedStep, Done, Failure, Json, StepContext, StepError, StepHandler, StopPolicy};
use tasker_types::Limits;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};

use super::expression::{Template, as_text};
use super::output::{Head, Tail, read_head};

/// How long a program has to end after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// How long a worker waits for a program that it stops.
const STOP_GRACE: Duration = Duration::from_secs(8);
/// How long to read on when the program has ended and a child of its own keeps its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The exit codes of `sysexits.h` that mean something here.
const EX_DATAERR: i32 = 65;
const EX_CONFIG: i32 = 78;

/// Runs programs.
#[derive(Debug)]
pub(super) struct Command {
    limits: Arc<Limits>,
    environment: BTreeMap<String, String>,
    /// How long a program has to end after SIGTERM.
    term_grace: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    program: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
}

impl Settings {
    fn of(config: &serde_json::Value) -> Result<Self, String> {
        let settings = Self::deserialize(config).map_err(|error| error.to_string())?;
        if settings.program.is_empty() {
            return Err("`program` is empty; name a program or a script beside the template".to_owned());
        }
        Ok(settings)
    }
}

/// Returns the JSON Schema of the configuration.
pub(super) fn config_schema() -> Value {
    json!({
        "description": "Runs a program: the step's input is JSON on its standard input, its result JSON on its standard output.",
        "type": "object",
        "additionalProperties": false,
        "required": ["program"],
        "properties": {
            "program": {
                "description": "A program or a script, relative to the template's file; one without a slash that is not there is searched on the PATH.",
                "type": "string",
                "minLength": 1,
            },
            "args": {
                "description": "Its arguments, with expressions such as {{ context.a.b }}, {{ steps.NAME.result.a }} and {{ env.NAME }}.",
                "type": "array",
                "items": { "type": "string" },
            },
            "env": {
                "description": "Environment variables beside those of the worker.",
                "type": "object",
                "additionalProperties": { "type": "string" },
            },
            "cwd": {
                "description": "The directory in which it runs, relative to the template's file; the template's own if it is left out.",
                "type": ["string", "null"],
            },
        },
    })
}

/// What a program is given on standard input.
#[derive(Serialize)]
struct Input<'a> {
    task: String,
    step: &'a str,
    context: &'a Json,
    parents: Json,
    attempt: u32,
    idempotency_key: String,
}

impl Command {
    pub(super) fn new(limits: Arc<Limits>, environment: BTreeMap<String, String>) -> Self {
        Self {
            limits,
            environment,
            term_grace: TERM_GRACE,
        }
    }

    fn spawn(&self, ctx: &StepContext, settings: &Settings) -> Result<Child, StepError> {
        let directory = ctx.template_directory().map(Path::new);
        let program = find_program(&settings.program, directory);
        let mut command = tokio::process::Command::new(&program);
        for argument in &settings.args {
            let template = Template::parse(argument)
                .map_err(|error| StepError::permanent("config_rejected", error.to_string()))?;
            command.arg(as_text(&template.fill(ctx, &self.environment)?));
        }
        command.env("TRACEPARENT", ctx.trace_context().to_string());
        command.envs(&settings.env);
        let cwd = match (&settings.cwd, directory) {
            (Some(cwd), Some(directory)) => Some(directory.join(cwd)),
            (Some(cwd), None) => Some(PathBuf::from(cwd)),
            (None, directory) => directory.map(Path::to_owned),
        };
        if let Some(cwd) = cwd {
            if !cwd.is_dir() {
                let message = format!("the working directory `{}` is not there", cwd.display());
                return Err(StepError::permanent("program_not_started", message));
            }
            command.current_dir(cwd);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command.spawn().map_err(|error| {
            use std::io::ErrorKind::{ArgumentListTooLong, InvalidInput, NotFound, PermissionDenied};
            let message = format!("the program `{}` cannot be started: {error}", program.display());
            match error.kind() {
                NotFound | PermissionDenied | InvalidInput | ArgumentListTooLong => {
                    StepError::permanent("program_not_started", message)
                }
                _ => StepError::retryable(message).with_code("program_not_started"),
            }
        })
    }

    fn result(
        &self,
        program: &str,
        status: ExitStatus,
        stdout: &Head,
        stderr: &str,
    ) -> Result<Done, StepError> {
        let context = json!({ "exit_code": status.code(), "signal": status.signal(), "stderr": stderr });
        if status.success() {
            let result = self.read_result(stdout).map(Done::Result);
            return result.map_err(|error| error.with_context(&context));
        }
        let ended = match (status.code(), status.signal()) {
            (Some(code), _) => format!("`{program}` ended with code {code}"),
            (None, signal) => format!("`{program}` was ended by signal {}", signal.unwrap_or_default()),
        };
        // What the program said last is what a person wants to know first.
        let message = match stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(said) => format!("{said} ({ended})"),
            None => ended,
        };
        let error = match (status.code(), status.signal()) {
            (Some(code @ (EX_DATAERR | EX_CONFIG)), _) => {
                StepError::permanent(format!("exit_{code}"), message)
            }
            // Among them EX_TEMPFAIL, 75, for programs that want to say so.
            (Some(code), _) => StepError::retryable(message).with_code(format!("exit_{code}")),
            (None, signal) => {
                StepError::retryable(message).with_code(format!("signal_{}", signal.unwrap_or_default()))
            }
        };
        Err(error.with_context(&context))
    }

    fn read_result(&self, stdout: &Head) -> Result<Json, StepError> {
        let rejected = |message: String| StepError::permanent(Failure::RESULT_REJECTED, message);
        if stdout.over {
            let limit = self.limits.result;
            return Err(rejected(format!(
                "the program wrote more than {limit} bytes to its standard output; write less, or raise \
                 `limits.result`"
            )));
        }
        let text = std::str::from_utf8(&stdout.bytes).map_err(|error| {
            rejected(format!(
                "the program's standard output is not UTF-8 at byte {}; write one JSON value and nothing else",
                error.valid_up_to()
            ))
        })?;
        if text.trim().is_empty() {
            return Ok(Json::null());
        }
        Json::parse(text.trim()).map_err(|error| {
            rejected(format!(
                "the program's standard output is no JSON: {error}; write one JSON value and nothing else, and messages \
                 to standard error"
            ))
        })
    }
}

#[async_trait]
impl StepHandler for Command {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let settings =
            Settings::of(&ctx.config()).map_err(|fault| StepError::permanent("config_rejected", fault))?;
        let input = Json::of(&Input {
            task: ctx.task_id().to_string(),
            step: ctx.step_name().as_str(),
            context: ctx.context(),
            parents: ctx.parents_object(),
            attempt: ctx.attempt(),
            idempotency_key: ctx.idempotency_key(),
        })?;
        let mut child = self.spawn(&ctx, &settings)?;
        let mut group = Group::of(&child);
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut head = Head::default();
        let mut tail = Tail::default();
        let limit = usize::try_from(self.limits.result).unwrap_or(usize::MAX);
        let tail_limit = usize::try_from(self.limits.stderr_tail).unwrap_or(usize::MAX);
        let status = {
            let streams = async {
                let write = write_input(stdin, &input);
                let read = async {
                    if let Some(stdout) = stdout {
                        read_head(stdout, limit, &mut head).await;
                    }
                };
                let listen = async {
                    if let Some(stderr) = stderr {
                        tail.read(stderr, tail_limit, &mut |line| say(&ctx, line)).await;
                    }
                };
                tokio::join!(write, read, listen)
            };
            let mut streams = std::pin::pin!(streams);
            let ended = wait(&mut child, &mut group, &ctx, self.term_grace);
            let mut ended = std::pin::pin!(ended);
            tokio::select! {
                biased;
                status = &mut ended => {
                    // What it started may live on and keep the streams open.
                    let _ = tokio::time::timeout(LAST_WORDS, streams).await;
                    status
                }
                _ = &mut streams => ended.await,
            }
        };
        let status = status.map_err(|error| {
            StepError::retryable(format!(
                "the end of `{}` cannot be learned: {error}",
                settings.program
            ))
        })?;
        let stderr = tail.text(tail_limit);
        self.result(&settings.program, status, &head, &stderr)
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        let settings = Settings::of(step.config).map_err(|fault| vec![fault])?;
        let faults: Vec<String> = settings
            .args
            .iter()
            .filter_map(|argument| {
                let template = Template::parse(argument);
                template
                    .and_then(|template| template.check(step.parents, &self.environment))
                    .err()
            })
            .map(|error| error.to_string())
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn stop_policy(&self) -> StopPolicy {
        StopPolicy::Cooperate(STOP_GRACE)
    }
}

/// A program with a slash in its name, or one that lies beside the template, is the template's; any other is searched
/// on the `PATH`.
fn find_program(program: &str, directory: Option<&Path>) -> PathBuf {
    match directory.map(|directory| directory.join(program)) {
        Some(path) if program.contains('/') || path.is_file() => path,
        _ => PathBuf::from(program),
    }
}

/// Takes a line of standard error by which a program says how far it is: `::progress 4/10 NOTE`, `::progress 40% NOTE`,
/// `::progress 4`, or `::note NOTE`. Every other line is a message like any.
fn say(ctx: &StepContext, line: &str) -> bool {
    if let Some(note) = line.strip_prefix("::note ") {
        ctx.note(note.trim());
        return true;
    }
    let Some(said) = line.strip_prefix("::progress ") else {
        return false;
    };
    let (amount, note) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
    let amount = match (amount.split_once('/'), amount.strip_suffix('%')) {
        (Some((done, total)), _) => done.parse().ok().zip(total.parse().ok()),
        (None, Some(percent)) => percent.parse().ok().map(|percent| (percent, 100)),
        (None, None) => amount.parse().ok().map(|done| (done, 0)),
    };
    let Some((done, total)) = amount else {
        return false;
    };
    ctx.progress(done, total);
    if !note.trim().is_empty() {
        ctx.note(note.trim());
    }
    true
}

/// Writes the input and closes the pipe. A program that does not read it is free to do so.
async fn write_input(stdin: Option<ChildStdin>, input: &Json) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input.as_str().as_bytes()).await;
        let _ = stdin.shutdown().await;
    }
}

/// Waits for the program's end; stops it when the handler is told to stop.
async fn wait(
    child: &mut Child,
    group: &mut Group,
    ctx: &StepContext,
    term_grace: Duration,
) -> std::io::Result<ExitStatus> {
    let status = tokio::select! {
        biased;
        status = child.wait() => status,
        () = ctx.stop().cancelled() => {
            group.signal(Signal::TERM);
            let status = tokio::time::timeout(term_grace, child.wait()).await;
            // What it started may not have listened either.
            group.signal(Signal::KILL);
            match status {
                Ok(status) => status,
                Err(_) => child.wait().await,
            }
        }
    };
    group.leave();
    status
}

/// The process group of a program. When it is dropped before the program's end, the group is killed.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Signals the program and what it started. A group that is gone needs no signal.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Lets what is left of the group live.
    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests;
