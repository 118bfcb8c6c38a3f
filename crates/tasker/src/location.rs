//! What `database.url` means.

use std::path::PathBuf;

use thiserror::Error;

/// A URL that names no SQLite file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`database.url` is `{url}`, but this build keeps tasks in SQLite only; write `sqlite:PATH`")]
pub struct UnknownDatabase {
    /// The URL, without user and password.
    pub url: String,
}

impl UnknownDatabase {
    /// Tells whether the URL is PostgreSQL's.
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }
}

/// Returns the file that a URL of the form `sqlite:PATH` or `sqlite://PATH` names.
///
/// # Errors
///
/// [`UnknownDatabase`] when it is of another form.
pub fn sqlite_file(url: &str) -> Result<PathBuf, UnknownDatabase> {
    let path = url
        .strip_prefix("sqlite:")
        .map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    match path {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(UnknownDatabase {
            url: without_secrets(url),
        }),
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
    use std::path::Path;

    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (url, path) in [
            ("sqlite:jobs.db", "jobs.db"),
            ("sqlite:///var/jobs.db", "/var/jobs.db"),
        ] {
            assert_eq!(sqlite_file(url).unwrap(), Path::new(path));
        }
    }

    #[test]
    fn other_databases_are_refused_without_their_password() {
        let refused = sqlite_file("postgres://ann:secret@db/tasker").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`database.url` is `postgres://…@db/tasker`, but this build keeps tasks in SQLite only; write `sqlite:PATH`"
        );
        assert!(refused.is_postgres());
        assert!(!sqlite_file("sqlite:").unwrap_err().is_postgres());
    }
}
