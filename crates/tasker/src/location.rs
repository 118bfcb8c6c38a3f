//! What the URL of a database means.

use std::fmt;
use std::path::PathBuf;

use tasker_types::Database;
use thiserror::Error;

/// A URL that names no database.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{url}` names no database; write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`")]
pub struct UnknownDatabase {
    /// The URL, without user and password.
    pub url: String,
}

/// What a URL names.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by its URL.
    Postgres(String),
}

impl Location {
    /// Returns the URL of the database that has Tasker's tables, after the key that names it; `None` when none does.
    pub fn configured(database: &Database) -> Option<(&'static str, &str)> {
        let secondary = database.secondary_url.as_deref();
        let primary = database.url.as_deref();
        secondary
            .map(|url| ("database.secondary_url", url))
            .or_else(|| primary.map(|url| ("database.url", url)))
    }

    /// Returns what a URL of the form `sqlite:PATH`, `sqlite://PATH` or `postgres://…` names.
    ///
    /// # Errors
    ///
    /// [`UnknownDatabase`] when it is of another form.
    pub fn of(url: &str) -> Result<Self, UnknownDatabase> {
        if ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let path = url
            .strip_prefix("sqlite:")
            .map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match path {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err(UnknownDatabase {
                url: without_secrets(url),
            }),
        }
    }
}

impl fmt::Display for Location {
    /// Shows the file, or the URL without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// Returns a URL without user and password, and without what a terminal would not show as it is.
pub fn without_secrets(url: &str) -> String {
    let shown = match url
        .split_once("://")
        .map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
    {
        Some((scheme, Some((_, place)))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    };
    shown
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (url, path) in [
            ("sqlite:jobs.db", "jobs.db"),
            ("sqlite:///var/jobs.db", "/var/jobs.db"),
        ] {
            assert_eq!(Location::of(url).unwrap(), Location::Sqlite(PathBuf::from(path)));
        }
    }

    #[test]
    fn a_postgres_url_names_a_database_and_shows_no_password() {
        let url = "postgres://ann:secret@db/tasker";
        let location = Location::of(url).unwrap();
        assert_eq!(location, Location::Postgres(url.to_owned()));
        assert_eq!(location.to_string(), "postgres://…@db/tasker");
        assert_eq!(format!("{location:?}"), "Location(postgres://…@db/tasker)");
    }

    #[test]
    fn other_databases_are_refused_without_their_password() {
        let refused = Location::of("mysql://ann:secret@db/tasker").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`mysql://…@db/tasker` names no database; write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`"
        );
        assert!(Location::of("sqlite:").is_err());
    }
}
