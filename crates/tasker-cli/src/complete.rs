//! Completes values that only this program knows: templates, tasks, steps, keys of the configuration.
//!
//! A shell waits meanwhile, and there is nobody to complain to: what cannot be found out completes to nothing.
//! Nothing is made or migrated.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap_complete::CompletionCandidate;
use clap_complete::engine::{PathCompleter, ValueCompleter};
use tasker::config::{Config, Environment};
use tasker::{Location, PostgresOptions, TaskFilter, TaskQuery, Tasker, migrate, postgres};

use crate::args::Common;
use crate::{database, locate, settings};

/// How many tasks are offered.
const TASKS: u32 = 50;

/// Completes a template: files, and names of templates in `engine.task_config_directory`.
pub(crate) fn templates(current: &OsStr) -> Vec<CompletionCandidate> {
    let is_template = |path: &Path| {
        path.extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
    };
    let mut candidates = PathCompleter::any()
        .filter(move |path| path.is_dir() || is_template(path))
        .complete(current);
    candidates.extend(named_templates(current).unwrap_or_default());
    candidates
}

fn named_templates(current: &OsStr) -> Option<Vec<CompletionCandidate>> {
    let current = current.to_str()?;
    let tasker = Tasker::builder()
        .config(Asked::of_process().config()?)
        .memory()
        .build()
        .ok()?;
    let directory = locate::directory(&tasker)?;
    let found = locate::all(&tasker, &directory).ok()?;
    let candidates = found.into_values().filter_map(Result::ok).filter_map(|loaded| {
        let template = loaded.template;
        let full = template.full_name();
        let name = full.split('@').next()?.to_owned();
        // The name alone will do, too; what is begun decides.
        let name = if name.starts_with(current) {
            name
        } else {
            template.name().to_string()
        };
        name.starts_with(current).then(|| {
            let help = template.description().unwrap_or(&full).to_owned();
            CompletionCandidate::new(name).help(Some(help.into()))
        })
    });
    Some(candidates.collect())
}

/// Completes the id of a task, the newest first.
pub(crate) fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    let ids = || {
        let prefix = current.to_str()?.to_ascii_lowercase();
        let filter = TaskFilter {
            id_prefix: (!prefix.is_empty()).then_some(prefix),
            ..TaskFilter::default()
        };
        let tasks = with_store(async |tasker| tasker.list(TaskQuery::new(filter, TASKS)).await.ok())?.tasks;
        let candidate = |(order, task): (usize, tasker::TaskSummary)| {
            let help = format!("{} {}", task.name, task.state);
            CompletionCandidate::new(task.task_id.to_string())
                .help(Some(help.into()))
                .display_order(Some(order))
        };
        Some(tasks.into_iter().enumerate().map(candidate).collect())
    };
    ids().unwrap_or_default()
}

/// Completes a step of the task that the line names before it.
pub(crate) fn steps(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = || {
        let current = current.to_str()?;
        let task = Asked::of_process().task?;
        let snapshot = with_store(async |tasker| {
            let task = database::find(tasker, &task).await.ok()?;
            tasker.store().snapshot(task).await.ok()?
        })?;
        let template = &snapshot.task.template;
        let steps = snapshot
            .steps
            .iter()
            .map(|step| (template.step(step.step).name(), step.state));
        let steps = steps.filter(|(name, _)| name.as_str().starts_with(current));
        Some(
            steps
                .map(|(name, state)| {
                    CompletionCandidate::new(name.to_string()).help(Some(state.as_str().into()))
                })
                .collect(),
        )
    };
    names().unwrap_or_default()
}

/// Completes a key of the configuration, up to its `=`.
pub(crate) fn settings(current: &OsStr) -> Vec<CompletionCandidate> {
    let keys = || {
        let current = current.to_str()?;
        let config = Asked::of_process().config()?;
        let entries = config.entries();
        let keys = entries
            .iter()
            .map(|entry| (format!("{}.{}=", entry.section(), entry.key()), entry));
        let keys = keys.filter(|(key, _)| key.starts_with(current));
        Some(
            keys.map(|(key, entry)| {
                let help = entry.literal().map(|literal| literal.to_string().into());
                CompletionCandidate::new(key).help(help)
            })
            .collect(),
        )
    };
    keys().unwrap_or_default()
}

/// Does something with the tasks that there are, if there is a database that need not be changed to be read.
fn with_store<T>(work: impl AsyncFnOnce(&Tasker) -> Option<T>) -> Option<T> {
    let asked = Asked::of_process();
    let config = asked.config()?;
    let location = database::location(&asked.common, &config, &Environment::of_process()).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    runtime.block_on(async {
        let builder = Tasker::builder().config(config);
        let (builder, ready) = match location {
            Location::Sqlite(file) => {
                let ready = file.is_file() && migrate::status(&file).ok()?.pending.is_empty();
                (builder.sqlite(file), ready)
            }
            Location::Postgres(url) => {
                let options = PostgresOptions::new(&url);
                let status = postgres::migrate::status(&options).await.ok()?;
                let ready = status.pending.is_empty();
                (builder.postgres(url), ready)
            }
        };
        if !ready {
            return None;
        }
        work(&builder.connect().await.ok()?).await
    })
}

/// What a line that is not finished says about where to look.
#[derive(Debug, Default)]
struct Asked {
    common: Common,
    /// The task that it names.
    task: Option<String>,
}

impl Asked {
    /// Reads the line that the shell hands over, which stands behind `--`.
    fn of_process() -> Self {
        let words = std::env::args().skip_while(|word| word != "--").skip(2);
        Self::of(words)
    }

    fn of(words: impl IntoIterator<Item = String>) -> Self {
        let mut asked = Self::default();
        let mut positional = 0;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => {
                    (option.to_owned(), Some(value.to_owned()))
                }
                _ => (word.clone(), None),
            };
            match option.as_str() {
                "--data-dir" => asked.common.data_dir = value.or_else(|| words.next()).map(PathBuf::from),
                "--config" => asked.common.config = value.or_else(|| words.next()).map(PathBuf::from),
                "--reason" | "--result" | "--set" | "--color" if value.is_none() => {
                    words.next();
                }
                option if option.starts_with('-') => {}
                _ => {
                    // `task retry ID`
                    if positional == 2 {
                        asked.task = Some(word);
                    }
                    positional += 1;
                }
            }
        }
        asked
    }

    /// Returns the configuration that the line would use.
    fn config(&self) -> Option<Config> {
        settings::load(&self.common, &Environment::of_process(), settings::File::Found).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_finished_says_where_to_look() {
        let asked = |line: &str| Asked::of(line.split_whitespace().map(str::to_owned));
        let line = asked("task retry --reason later 0198 --data-dir=d --json --config c.toml fet");
        assert_eq!(line.common.data_dir, Some("d".into()));
        assert_eq!(line.common.config, Some("c.toml".into()));
        assert_eq!(line.task.as_deref(), Some("0198"));
        assert!(asked("--data-dir").common.data_dir.is_none());
        assert!(asked("task retry").task.is_none());
    }
}
