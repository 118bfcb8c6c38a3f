//! What may be written on the command line.
//!
//! Only shapes are checked here: that an option exists, that a number is a number. What a value means is the
//! business of the command that takes it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::{ArgValueCompleter, Shell};
use serde_json::Value;
use tasker::{ContextMatch, TaskSort};
use tasker_types::{TaskState, Timestamp};

use crate::complete;
use crate::when::{Age, When};

/// Runs task templates: DAGs of steps, in order, with retries, surviving crashes.
#[derive(Debug, Parser)]
#[command(
    name = "tasker",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tasker run pipeline.yaml                     run a template and watch it
  tasker run pipeline.yaml --context @in.json  with a context from a file
  tasker resume                                go on with everything that is unfinished
  tasker task list                             what there is
  tasker task show 0198c2                      one task; the beginning of its id is enough

Exit codes:
  0 complete or resolved   1 error or cancelled   2 bad command, template or configuration
  3 the store              130 interrupted; `tasker resume` goes on"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Keep tasks in this directory [default: $TASKER_DATA_DIR, else the platform's data directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Read this configuration file [default: $TASKER_CONFIG, else tasker.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one value of the configuration; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = setting,
        add = ArgValueCompleter::new(complete::settings))]
    pub(crate) settings: Vec<(String, String)>,
    /// Ask the service at this URL, such as http://127.0.0.1:8080, instead of opening a database; for `tasker task`
    #[arg(long, global = true, value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) server: Option<String>,
    /// Say who asks by the token in this file; - is standard input
    #[arg(long, global = true, value_name = "FILE", requires = "server", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// Write one JSON object to standard output, also for an error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write nothing but the result
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Colour what is written; `auto` does so on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Resume(Resume),
    Worker(WorkerArguments),
    /// Look at tasks and change what happens to them
    #[command(subcommand)]
    Task(Task),
    /// Draw and check templates
    #[command(subcommand)]
    Graph(Graph),
    /// Show and check the configuration
    #[command(subcommand)]
    Config(Config),
    Handlers(Handlers),
    Serve(Serve),
    /// Make, list and revoke the tokens by which programs say who they are
    #[command(subcommand)]
    Token(Token),
    /// Bring the database to another version of its schema
    #[command(subcommand)]
    Migrate(Migrate),
    Verify(Verify),
    Prune(Prune),
    Move(Move),
    Doctor(Doctor),
    /// Write a template, a handler or a project to begin with
    #[command(subcommand)]
    New(New),
    Completions(Completions),
    Man(Man),
}

/// Run a template to its end
///
/// The task is kept in the data directory before its first step starts. Interrupt it or kill it at any moment:
/// `tasker resume` goes on where it was. Ctrl-C lets running steps end within `execution.shutdown_grace_seconds`; a
/// second Ctrl-C interrupts them at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker run pipeline.yaml
  tasker run pipeline.yaml --context '{\"day\": \"2026-01-31\"}' --key 2026-01-31
  tasker run refund --version ^2 --set engine.task_config_directory=templates   a template by its name
  tasker run pipeline.yaml --start-at 2026-02-01T06:00:00Z --deadline 2026-02-01T09:00:00Z
  tasker run pipeline.yaml --priority 5 --tag nightly --annotation ticket=4711
  tasker run pipeline.yaml --json | jq .steps

With --key a repeated command finds the same task again: it goes on with it, or reports it if it has ended.")]
pub(crate) struct Run {
    /// The template's file, or the name (or namespace.name) of one in engine.task_config_directory
    #[arg(value_name = "TEMPLATE", add = ArgValueCompleter::new(complete::templates))]
    pub(crate) template: String,
    /// The task's context: a JSON object, @FILE, or @- for standard input
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) context: Option<String>,
    /// The key under which this command may be repeated without running the task again
    #[arg(long, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) key: Option<String>,
    /// Resolve a skippable step from the start; may be repeated
    #[arg(long, value_name = "STEP")]
    pub(crate) bypass: Vec<String>,
    /// Higher runs first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = priority)]
    pub(crate) priority: i16,
    /// Which version of the template, such as 2.1.0 or ^2 [default: the latest]
    #[arg(long, value_name = "REQUIREMENT")]
    pub(crate) version: Option<String>,
    /// Start no step before: a time such as 2026-01-31T12:00:00Z, or a wait such as 90s or 2h30m
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) start_at: Option<When>,
    /// Fail the task when it has not ended by then; a time or a wait
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub(crate) deadline: Option<When>,
    /// Label the task; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Note something with the task; what is no JSON is a text; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, Value)>,
    /// Why the task is run
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Run whatever tasks there are, until it is stopped
///
/// Any number of workers share the tasks of one database: with `database.url` = `postgres://HOST/DATABASE` on any
/// number of machines. A worker takes steps that its handlers can run. Ctrl-C or SIGTERM lets running steps end within
/// `execution.shutdown_grace_seconds`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker worker
  tasker worker --set database.url=postgres://ann@db/tasks
  tasker worker --set execution.max_concurrent_steps=32")]
pub(crate) struct WorkerArguments {}

/// Go on with unfinished tasks
///
/// Without an id: with all of the data directory. With one: with that task; if it is in error, its failed steps get
/// their attempts back, as by `tasker task retry`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker resume
  tasker resume 0198c2
  tasker resume --json | jq '.tasks[] | {task_id, state}'")]
pub(crate) struct Resume {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    List(List),
    Show(Show),
    Watch(Watch),
    Explain(Explain),
    Retry(Retry),
    Resolve(Resolve),
    Cancel(Cancel),
    Change(Change),
}

/// List tasks
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task list
  tasker task list --state error --namespace payments
  tasker task list --tag nightly --annotation ticket=4711
  tasker task list --context customer.id=42 --sort updated
  tasker task list --created-after 2026-01-31T12:00:00Z --total
  tasker task list --quiet | head -1      the id of the newest task")]
pub(crate) struct List {
    /// Only tasks in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = state_parser())]
    pub(crate) state: Vec<TaskState>,
    /// Only tasks of this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<tasker_types::Namespace>,
    /// Only tasks of the template of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<tasker_types::TemplateName>,
    /// Only tasks of the templates of this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<tasker_types::Version>,
    /// Only tasks with this tag; may be repeated, and then they have all of them
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Only tasks with this annotation, and with this value if there is one; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = wanted_annotation)]
    pub(crate) annotation: Vec<(String, Option<Value>)>,
    /// Only tasks that this user or program asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) initiator: Option<String>,
    /// Only tasks whose request came from this system
    #[arg(long, value_name = "NAME")]
    pub(crate) source_system: Option<String>,
    /// Only tasks whose context has this path, and this value there if there is one; may be repeated
    #[arg(long, value_name = "PATH[=VALUE]")]
    pub(crate) context: Vec<ContextMatch>,
    /// Only tasks that were created at this time or later
    #[arg(long, value_name = "TIME")]
    pub(crate) created_after: Option<Timestamp>,
    /// Only tasks that were created before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) created_before: Option<Timestamp>,
    /// Only tasks that last changed at this time or later
    #[arg(long, value_name = "TIME")]
    pub(crate) updated_after: Option<Timestamp>,
    /// Only tasks that last changed before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) updated_before: Option<Timestamp>,
    /// Sort by when tasks were created, when they last changed, or priority
    #[arg(long, value_name = "WHAT", default_value = "created", value_parser = sort_parser())]
    pub(crate) sort: TaskSort,
    /// Begin with the oldest, or with the lowest priority
    #[arg(long)]
    pub(crate) ascending: bool,
    /// Say how many tasks there are in all
    #[arg(long)]
    pub(crate) total: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count)]
    pub(crate) limit: u32,
    /// Go on where a page ended: with what it said at its end, and everything else but the limit as it was
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

/// Show a task and its steps
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task show 0198c2
  tasker task show 0198c2 --history
  tasker task show 0198c2 --json | jq '.steps[] | select(.state == \"error\")'")]
pub(crate) struct Show {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: String,
    /// Show everything that happened, too
    #[arg(long)]
    pub(crate) history: bool,
}

/// Watch a task until it ends, whoever runs it
///
/// Nothing runs by this command, and Ctrl-C ends only the watching. What happened before is told first where the
/// output is no terminal. With --json there is a line with one JSON object for each transition, and a last one with the
/// task. The exit code is that of the task.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task watch 0198c2
  tasker task watch 0198c2 --json | jq -c '.transition | select(.subject == \"step\") | [.step, .event]'")]
pub(crate) struct Watch {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: String,
}

/// Say why a task, or a step, is not running, and when that clears
///
/// Without a step: every root cause, with how many steps wait for it. With one: what it waits for, down to the root
/// cause.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task explain 0198c2
  tasker task explain 0198c2 send_mail
  tasker task explain 0198c2 --json | jq '.explanation.roots[0]'")]
pub(crate) struct Explain {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    pub(crate) step: Option<String>,
}

/// Give failed steps their attempts back
///
/// Without a step: every failed step of a task that is in error, which then goes on. With one: that step, failed or
/// cancelled. Nothing runs by this command; `tasker resume` or a worker does that.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task retry 0198c2
  tasker task retry 0198c2 send_mail --reason 'the mail server is back'")]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Declare a step or a task done
///
/// Without a step: the task, which must be in error; its unfinished steps are cancelled. With one: that step; its
/// children see the result that is given, or null.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task resolve 0198c2 --reason 'done by hand'
  tasker task resolve 0198c2 fetch_rates --result '{\"eur\": 1.08}'")]
pub(crate) struct Resolve {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The step's result: JSON, @FILE, or @- for standard input
    #[arg(long, value_name = "JSON|@FILE", requires = "step")]
    pub(crate) result: Option<String>,
}

/// Stop a step or a task
///
/// A step that runs is told to stop; what it still returns is kept in the history, never as its result.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task cancel 0198c2
  tasker task cancel 0198c2 send_mail --reason 'wrong list'")]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Change a task's priority, its tags and its annotations
///
/// A new priority moves the steps that are queued, too. Tags replace those that the task has; annotations that are not
/// named stay.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker task change 0198c2 --priority 10 --reason 'the customer waits'
  tasker task change 0198c2 --tag nightly --tag eu --annotation ticket=4711
  tasker task change 0198c2 --no-tags --without ticket")]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Change {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID")]
    pub(crate) task: String,
    /// Higher runs first
    #[arg(long, value_name = "N", allow_negative_numbers = true, group = "change")]
    pub(crate) priority: Option<i16>,
    /// A label of the task; may be repeated
    #[arg(long, value_name = "TAG", group = "change")]
    pub(crate) tag: Vec<String>,
    /// Take all labels away
    #[arg(long, conflicts_with = "tag", group = "change")]
    pub(crate) no_tags: bool,
    /// Note something with the task; what is no JSON is a text; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = annotation, group = "change")]
    pub(crate) annotation: Vec<(String, Value)>,
    /// Take an annotation away; may be repeated
    #[arg(long, value_name = "NAME", group = "change")]
    pub(crate) without: Vec<String>,
    /// Say anew why the task is run
    #[arg(long, value_name = "TEXT", group = "change")]
    pub(crate) task_reason: Option<String>,
    /// Why it is changed; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// A task or one of its steps, and why it is changed.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// The task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: String,
    /// The step
    #[arg(value_name = "STEP", add = ArgValueCompleter::new(complete::steps))]
    pub(crate) step: Option<String>,
    /// Why; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Graph {
    /// Draw the steps of a template
    #[command(after_help = "\
Examples:
  tasker graph show pipeline.yaml
  tasker graph show pipeline.yaml --format dot | dot -Tsvg > pipeline.svg")]
    Show {
        /// The template's file, or the name of one in engine.task_config_directory
        #[arg(value_name = "TEMPLATE", add = ArgValueCompleter::new(complete::templates))]
        template: String,
        /// How to draw it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Say what holds a task up: critical paths, bottlenecks, errors, and when it will be done
    ///
    /// The task is one of the data directory, or a JSON file with `steps`, `edges` and optionally `task_state` and
    /// `config` (see docs/analysis.md).
    #[command(after_help = "\
Examples:
  tasker graph analyze 0198c2
  tasker graph analyze 0198c2 --format html > task.html
  tasker graph analyze steps.json --format json | jq .bottlenecks")]
    Analyze {
        /// A file, or a task or the beginning of its id
        #[arg(value_name = "FILE.json|TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
        subject: String,
        /// How to say it
        #[arg(long, value_enum, default_value_t = Report::Text)]
        format: Report,
    },
    /// Check templates and name every fault
    ///
    /// An unknown handler is a warning here, since the steps may run elsewhere.
    #[command(after_help = "\
Examples:
  tasker graph check pipeline.yaml
  tasker graph check templates/*.yaml --json | jq .faults")]
    Check {
        /// The templates' files, or names of some in engine.task_config_directory
        #[arg(value_name = "TEMPLATE", required = true, add = ArgValueCompleter::new(complete::templates))]
        templates: Vec<String>,
    },
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines of text
    Text,
    /// A Mermaid flow chart
    Mermaid,
    /// Graphviz
    Dot,
}

/// How an analysis is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// Tables for a person
    Text,
    /// One JSON object, as with --json
    Json,
    /// A Mermaid flow chart
    Mermaid,
    /// Graphviz
    Dot,
    /// A page with a drawing, which needs nothing beside it
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration file and name every fault
    #[command(after_help = "\
Examples:
  tasker config check
  tasker config check deploy/tasker.toml")]
    Check {
        /// The file [default: the one that the other commands would read]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show the configuration that applies
    #[command(after_help = "\
Examples:
  tasker config show
  tasker config show --origin        and where each value comes from
  tasker config show --set execution.lease_seconds=60 --origin")]
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

/// Serve tasks over HTTP, and run them
///
/// The templates of engine.task_config_directory can be named in requests; the API is described at
/// /tasker/api-docs. One process serves and works; any number of processes may do so on one database. Ctrl-C and SIGTERM
/// let requests and running steps end within `execution.shutdown_grace_seconds`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker serve --set engine.task_config_directory=templates
  tasker serve --set server.bind=127.0.0.1:0 --json   on any free port, which is written at the start
  tasker serve --api-only                             other processes run the steps")]
pub(crate) struct Serve {
    /// Run no steps here: other processes do
    #[arg(long)]
    pub(crate) api_only: bool,
    /// Listen where other machines reach it, although callers need not say who they are
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(TokenCreate),
    List(TokenList),
    Revoke(TokenRevoke),
}

/// Make a token, and show it this once
///
/// The service believes it with `auth.authenticator` = `api_token`, from now until it expires or is revoked. Only a digest
/// of it is kept: a token that is lost is replaced by another.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker token create ci --role operator
  tasker token create shop --subject web-shop --role starter --expires 30d
  tasker token create ci --role operator --quiet > ci.token   nothing but the token")]
pub(crate) struct TokenCreate {
    /// What the token is called; a name is free again when its token is revoked
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Who calls with it: the initiator of tasks, and who the history names [default: the name of the token]
    #[arg(long, value_name = "NAME")]
    pub(crate) subject: Option<String>,
    /// A role of auth.roles; may be repeated
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Vec<String>,
    /// When it ends: days or weeks such as 90d or 12w, a shorter time such as 12h, or a time
    #[arg(long, value_name = "WHEN", default_value = "90d", value_parser = When::parse_long)]
    pub(crate) expires: When,
    /// Let it last until it is revoked
    #[arg(long, conflicts_with = "expires")]
    pub(crate) no_expiry: bool,
}

/// List the tokens, the oldest first
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker token list
  tasker token list --json | jq -r '.tokens[] | select(.last_used_at == null) | .name'")]
pub(crate) struct TokenList {}

/// Revoke a token: no service believes it any more, at once
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker token revoke ci
  tasker token revoke 5f3a01c2d4e6b788 --json")]
pub(crate) struct TokenRevoke {
    /// The token's id, or the name of one that is not revoked
    #[arg(value_name = "NAME|ID")]
    pub(crate) token: String,
}

/// List the handlers that steps can use, and the templates of engine.task_config_directory
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker handlers
  tasker handlers --json | jq '.step_handlers[].name'")]
pub(crate) struct Handlers {}

#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Apply the migrations that are missing
    #[command(after_help = "\
Examples:
  tasker migrate up --dry-run
  tasker migrate up")]
    Up {
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take migrations back, the last one first
    ///
    /// What only the newer schema can hold is lost. Make a copy of the file first.
    #[command(after_help = "\
Examples:
  tasker migrate down --dry-run
  tasker migrate down --steps 1")]
    Down {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
        steps: u32,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Say which migrations are applied
    #[command(after_help = "\
Examples:
  tasker migrate status
  tasker migrate status --json | jq '.migrations[] | select(.applied | not)'")]
    Status {},
}

/// Check what the database holds against the rules of the engine
///
/// States follow their tables, histories have no gaps, children ran after their parents, no two leases overlap, every
/// run has one outcome, counters are right, and every unfinished task can progress or says why not. The last line is
/// `N histories, M transitions, K violations`, a history for each task; any violation is exit code 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker verify
  tasker verify 0198c2 --json
  tasker verify --repair --dry-run   what would mend each violation")]
pub(crate) struct Verify {
    /// Only this task, or the beginning of its id
    #[arg(value_name = "TASK_ID", add = ArgValueCompleter::new(complete::tasks))]
    pub(crate) task: Option<String>,
    /// Propose what would mend each violation
    #[arg(long, requires = "dry_run")]
    pub(crate) repair: bool,
    /// Change nothing, which is all that `--repair` does yet
    #[arg(long, requires = "repair")]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum New {
    /// Write a template that runs as it is
    #[command(after_help = "\
Examples:
  tasker new template nightly
  tasker new template nightly --dir templates")]
    Template {
        /// The template's name, and its file's
        #[arg(value_name = "NAME")]
        name: tasker_types::TemplateName,
        #[command(flatten)]
        place: Place,
    },
    /// Write a step handler in Rust
    ///
    /// It is a function of typed input to a typed result, with a test.
    #[command(after_help = "\
Examples:
  tasker new handler charge --dir src")]
    Handler {
        /// The handler's name, and its file's
        #[arg(value_name = "NAME")]
        name: tasker_types::HandlerName,
        #[command(flatten)]
        place: Place,
    },
    /// Write a Rust project that runs a template with a handler of its own
    #[command(after_help = "\
Examples:
  tasker new project shop && cd shop && cargo run
  tasker new project shop --tasker ../tasker/crates/tasker")]
    Project {
        /// The project's name, and its directory's
        #[arg(value_name = "NAME")]
        name: tasker_types::TemplateName,
        #[command(flatten)]
        place: Place,
        /// Depend on the crate `tasker` in this directory
        /// [default: that from which this program was built, if it is there, else the version of this program]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, verbatim_doc_comment)]
        tasker: Option<PathBuf>,
    },
}

/// Where something new is written.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Write into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

/// Remove tasks that ended for good a while ago
///
/// Complete, cancelled and resolved tasks go with their steps, results and histories, and their keys may be used again; what
/// is unfinished or in error stays. Tasks that created one another go together. It works in small batches beside running
/// workers, and may be stopped at any moment. With `database.retention_days` workers do it by themselves.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker prune --older-than 30d --dry-run
  tasker prune --older-than 12h")]
pub(crate) struct Prune {
    /// How long ago they ended: days or weeks such as 30d or 2w, or a shorter time such as 12h
    #[arg(long, value_name = "AGE", value_parser = Age::parse)]
    pub(crate) older_than: Age,
    /// Remove nothing; say how many would go
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Move all tasks to another database
///
/// Tasks, steps, results, leases and histories are copied into a database that has none, all or nothing, also of what is
/// under way; the source is left as it is. Stop its workers before: while it is read nobody can write to it, and what they
/// record afterwards is not moved. Steps that were in progress are tried again when their leases end. API tokens are not
/// moved: make new ones.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker move --from sqlite:data/tasker.db --to postgres://db.example.com/tasks
  tasker move --from postgres://db.example.com/tasks --to sqlite:copy.db")]
pub(crate) struct Move {
    /// The database that has the tasks: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// An empty database
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
}

/// Say what is not as it should be with the database, and what mends it
///
/// It looks and changes nothing. On PostgreSQL: what keeps dead rows from being removed (long transactions, prepared ones,
/// replication slots), dead rows, settings of the server and of tables, free connections, migrations. On SQLite: damage, the
/// size of the log, free pages, settings, migrations. Each finding comes with the SQL that mends it. Ends with 1 if there
/// is a problem.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker doctor
  tasker doctor --json | jq -r '.findings[].mend'")]
pub(crate) struct Doctor {}

/// Write a script that completes commands for a shell
///
/// It completes options, files, templates, tasks, steps and keys of the configuration, by asking this program.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker completions bash > ~/.local/share/bash-completion/completions/tasker
  tasker completions fish > ~/.config/fish/completions/tasker.fish
  tasker completions zsh > ~/.zfunc/_tasker        with ~/.zfunc in $fpath, before compinit")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Write manual pages
///
/// Without --dir: the page of this program, or of the command that is named, to standard output.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tasker man task show | man -l -
  tasker man --dir ~/.local/share/man/man1         a page for each command")]
pub(crate) struct Man {
    /// The command whose page is written
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// How a command line wants to be answered, as far as that can be told before it is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// `--json` is there.
    pub(crate) json: bool,
    /// What `--color` says.
    pub(crate) color: ColorChoice,
}

impl Manner {
    /// Looks through the words of a command line up to `--`.
    pub(crate) fn of(arguments: &[OsString]) -> Self {
        let mut manner = Self::default();
        let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
        while let Some(word) = words.next() {
            let color = match word {
                "--" => break,
                "--json" => {
                    manner.json = true;
                    None
                }
                "--color" => words.next(),
                word => word.strip_prefix("--color="),
            };
            if let Some(color) = color.and_then(|color| ColorChoice::from_str(color, false).ok()) {
                manner.color = color;
            }
        }
        manner
    }
}

/// Splits `name=value`; a value that is no JSON is a text.
fn annotation(text: &str) -> Result<(String, Value), String> {
    match wanted_annotation(text)? {
        (name, Some(value)) => Ok((name, value)),
        _ => Err("write NAME=VALUE, such as ticket=4711".to_owned()),
    }
}

/// Splits `name=value`, or takes a name alone.
fn wanted_annotation(text: &str) -> Result<(String, Option<Value>), String> {
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    match text.split_once('=') {
        Some((name, text)) => Ok((name.trim().to_owned(), Some(value(text)))),
        None => Ok((text.trim().to_owned(), None)),
    }
}

/// Splits `section.key=value`.
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write SECTION.KEY=VALUE, such as execution.lease_seconds=60".to_owned()),
    }
}

/// Reads how many of something are meant.
fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(format!("write a whole number from 1 to {}", u32::MAX)),
    }
}

fn priority(text: &str) -> Result<i16, String> {
    text.parse()
        .map_err(|_| format!("write a whole number from {} to {}", i16::MIN, i16::MAX))
}

/// Says which command was probably meant by a word that is none: a near one, or one further below, as `task list` by
/// `list`.
pub(crate) fn with_hint(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    use clap::CommandFactory;
    use clap::error::{ContextKind, ContextValue, ErrorKind};

    if error.kind() != ErrorKind::InvalidSubcommand || error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let root = Cli::command();
    // The command whose word is wrong: that of the words before it.
    let mut command = &root;
    for argument in arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .take_while(|text| text != word)
    {
        command = command.find_subcommand(argument).unwrap_or(command);
    }
    let below = |command: &clap::Command| {
        let names = command
            .get_subcommands()
            .map(|command| command.get_name().to_owned());
        names.collect::<Vec<_>>()
    };
    let inner = root.get_subcommands().flat_map(|outer| {
        let name = outer.get_name();
        below(outer)
            .into_iter()
            .map(move |inner| format!("{name} {inner}"))
    });
    let further = inner
        .into_iter()
        .find(|path| path.split(' ').nth(1) == Some(word.as_str()));
    let names = below(command);
    let near = tasker_types::nearest(word, names.iter().map(String::as_str)).map(str::to_owned);
    if let Some(hint) = near.or(further) {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(vec![hint]),
        );
    }
    error
}

/// Takes the names of what lists are sorted by, and lists them in the help.
fn sort_parser() -> impl clap::builder::TypedValueParser<Value = TaskSort> {
    use clap::builder::TypedValueParser;
    let names = TaskSort::ALL.map(TaskSort::as_str);
    clap::builder::PossibleValuesParser::new(names).map(|name| {
        let found = TaskSort::ALL.into_iter().find(|sort| sort.as_str() == name);
        found.unwrap_or_default()
    })
}

/// Takes the names of states, and lists them in the help.
fn state_parser() -> impl clap::builder::TypedValueParser<Value = TaskState> {
    use clap::builder::TypedValueParser;
    let names = TaskState::ALL.iter().map(|state| state.as_str());
    clap::builder::PossibleValuesParser::new(names).try_map(|name| name.parse::<TaskState>())
}

#[cfg(test)]
mod tests;
