//! Where tasks are kept, and how they are found there.

use std::path::Path;

use tasker::config::{Config, Environment};
use tasker::{
    BuildError, Location, SortOrder, StoreError, TaskFilter, TaskQuery, TaskSummary, Tasker, UnknownDatabase,
};
use tasker_types::{TaskId, TaskState};

use crate::args::Common;
use crate::exit::Problem;
use crate::settings;

/// The name of the database's file within a data directory.
const FILE: &str = "tasker.db";
/// How many tasks are read at once.
const PAGE: u32 = 1_000;
/// How many tasks are named when the beginning of an id fits several.
const NAMED: u32 = 4;

/// Returns where tasks are kept.
///
/// `--data-dir` counts most, then `database.secondary_url` and `database.url`, then `TASKER_DATA_DIR`, then the platform's data directory.
pub(crate) fn location(
    common: &Common,
    config: &Config,
    environment: &Environment,
) -> Result<Location, Problem> {
    let said = Location::configured(config.database());
    let (key, url) = said.unwrap_or_default();
    match (&common.data_dir, said.map(|(_, url)| Location::of(url))) {
        (None, None) => match environment.data_directory() {
            Some(directory) => Ok(Location::Sqlite(directory.join(FILE))),
            None => Err(Problem::refused(
                "no_data_directory",
                "there is no data directory, since HOME is not set",
            )
            .with_help("name one with --data-dir DIR")),
        },
        (None, Some(location)) => match location.map_err(|unknown| no_such_store(key, &unknown))? {
            Location::Sqlite(file) => Ok(Location::Sqlite(settings::path(config, key, file))),
            location => Ok(location),
        },
        (Some(directory), Some(Err(unknown))) => Err(beside_url(directory, key, &unknown.url)),
        (Some(directory), Some(Ok(location @ Location::Postgres(_)))) => {
            Err(beside_url(directory, key, &location.to_string()))
        }
        (Some(directory), Some(Ok(_))) if common.settings.iter().any(|(set, _)| set == key) => {
            Err(beside_url(directory, key, url))
        }
        (Some(directory), _) => Ok(Location::Sqlite(directory.join(FILE))),
    }
}

fn beside_url(directory: &Path, key: &str, url: &str) -> Problem {
    let directory = directory.display();
    let message = format!("`--data-dir {directory}` and `{key}` = `{url}` both say where tasks are kept");
    Problem::refused("data_dir_beside_url", message).with_help(
        "leave out --data-dir to use the URL, or take the URL out of the configuration and the environment",
    )
}

fn no_such_store(key: &str, unknown: &UnknownDatabase) -> Problem {
    let url = &unknown.url;
    Problem::refused(
        "database_url",
        format!("`{key}` is `{url}`, which names no database"),
    )
    .with_help(
        "write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`, or take the URL out to keep tasks in the data directory",
    )
}

/// Returns the task that is meant by an id or by its beginning.
pub(crate) async fn find(tasker: &Tasker, text: &str) -> Result<TaskId, Problem> {
    if let Ok(task) = text.parse() {
        return Ok(task);
    }
    let not_found = || {
        let message = format!("there is no task whose id begins with `{}`", text.escape_debug());
        Problem::refused("task_not_found", message).with_help("`tasker task list` lists the tasks")
    };
    let prefix = text.to_ascii_lowercase();
    if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(not_found());
    }
    let filter = TaskFilter {
        id_prefix: Some(prefix),
        ..TaskFilter::default()
    };
    let found = tasker.list(TaskQuery::new(filter, NAMED)).await?.tasks;
    match found.as_slice() {
        [] => Err(not_found()),
        [task] => Ok(task.task_id),
        several => {
            let named: Vec<_> = several
                .iter()
                .map(|task| format!("{} {} {}", task.task_id, task.name, task.state))
                .collect();
            let message = format!("several tasks have ids that begin with `{text}`");
            Err(Problem::refused("task_ambiguous", message).with_help(format!(
                "write more of it; the newest are\n    {}",
                named.join("\n    ")
            )))
        }
    }
}

/// Returns every unfinished task, the oldest first.
pub(crate) async fn active(tasker: &Tasker) -> Result<Vec<TaskSummary>, StoreError> {
    let filter = TaskFilter {
        states: vec![TaskState::Pending, TaskState::InProgress],
        ..TaskFilter::default()
    };
    let mut query = TaskQuery {
        order: SortOrder::Ascending,
        ..TaskQuery::new(filter, PAGE)
    };
    let mut tasks = Vec::new();
    loop {
        let page = tasker.list(query.clone()).await?;
        tasks.extend(page.tasks);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(tasks),
        }
    }
}

impl From<BuildError> for Problem {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            error => Self::refused("set_up", error.to_string()).caused_by(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tasker::config::Loader;

    use super::*;

    /// Checks where tasks are kept with these options, variables and settings of the command line.
    #[track_caller]
    fn check(
        data_dir: Option<&str>,
        variables: &[(&str, &str)],
        settings: &[&str],
        expected: Result<&str, &str>,
    ) {
        let environment: Environment = variables.iter().copied().collect();
        let settings: Vec<_> = settings
            .iter()
            .map(|url| ("database.url".to_owned(), (*url).to_owned()))
            .collect();
        let mut loader = Loader::new().environment(&environment);
        for (key, value) in &settings {
            loader = loader.argument(key, value);
        }
        let common = Common {
            data_dir: data_dir.map(std::path::PathBuf::from),
            settings,
            ..Common::default()
        };
        let location = location(&common, &loader.load().unwrap(), &environment);
        let found = location.map(|location| location.to_string());
        let found = found.as_deref().map_err(|problem| problem.code);
        assert_eq!(found, expected);
    }

    const HOME: (&str, &str) = ("HOME", "/home/ann");
    const DATA: (&str, &str) = ("TASKER_DATA_DIR", "/data");

    #[test]
    fn the_data_directory_is_the_nearest_that_is_named() {
        check(None, &[HOME, DATA], &[], Ok("/data/tasker.db"));
        check(Some("here"), &[HOME, DATA], &[], Ok("here/tasker.db"));
        check(None, &[], &[], Err("no_data_directory"));
        if cfg!(target_os = "linux") {
            check(None, &[HOME], &[], Ok("/home/ann/.local/share/tasker/tasker.db"));
        }
    }

    #[test]
    fn a_url_counts_more_than_the_environments_directory() {
        check(None, &[DATA], &["sqlite:jobs.db"], Ok("jobs.db"));
        check(
            None,
            &[DATA, ("TASKER_DATABASE__URL", "sqlite:///jobs.db")],
            &[],
            Ok("/jobs.db"),
        );
        check(
            None,
            &[DATA],
            &["postgres://ann:secret@db/tasker"],
            Ok("postgres://…@db/tasker"),
        );
        check(None, &[DATA], &["mysql://db/tasker"], Err("database_url"));
    }

    #[test]
    fn tables_of_their_own_place_count_more_than_the_applications_database() {
        check(
            None,
            &[("TASKER_DATABASE__SECONDARY_URL", "sqlite:///own.db")],
            &["postgres://ann:secret@db/shop"],
            Ok("/own.db"),
        );
        check(
            None,
            &[("TASKER_DATABASE__SECONDARY_URL", "own.db")],
            &["sqlite:shop.db"],
            Err("database_url"),
        );
        check(
            Some("here"),
            &[("TASKER_DATABASE__SECONDARY_URL", "postgres://db/own")],
            &[],
            Err("data_dir_beside_url"),
        );
    }

    #[test]
    fn a_directory_beside_a_url_is_a_fault_unless_it_counts_more() {
        check(
            Some("here"),
            &[("TASKER_DATABASE__URL", "sqlite:jobs.db")],
            &[],
            Ok("here/tasker.db"),
        );
        check(Some("here"), &[], &["sqlite:jobs.db"], Err("data_dir_beside_url"));
        check(
            Some("here"),
            &[("TASKER_DATABASE__URL", "postgres://db/t")],
            &[],
            Err("data_dir_beside_url"),
        );
    }
}
