//! Which processes use a file, proven by locks that the operating system takes back from the dead.
//!
//! Each store holds the lock of a small file of its own beside the database. Whoever can take such a lock knows that its
//! holder is gone, and need not wait for the holder's leases to run out.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use tasker_engine::StoreError;

/// The lock that a store holds as long as it is open.
#[derive(Debug)]
pub(super) struct ProcessLock {
    path: PathBuf,
    _file: File,
}

impl ProcessLock {
    /// Takes the lock of this number; `None` when somebody has it, which happens when a database is replaced under a
    /// store that is open.
    pub(super) fn take(database: &Path, number: i64) -> Result<Option<Self>, StoreError> {
        let refused = |problem: std::io::Error| StoreError::NotWritable {
            store: database.display().to_string(),
            problem: format!("its lock file cannot be made: {problem}"),
            advice: "give this user the right to write to the directory of the file",
        };
        std::fs::create_dir_all(directory(database)).map_err(refused)?;
        let path = file_of(database, number);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(refused)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(problem)) => return Err(refused(problem)),
            }
            // Whoever took the file for one left behind, before it was locked, has removed it.
            if path.exists() {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // A file that stays behind has no lock and is removed by whoever notices.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Tells whether the holder of a lock is gone.
pub(super) fn dead(database: &Path, number: i64) -> bool {
    is_free(&file_of(database, number))
}

/// Tells whether nobody has a lock; a file that was left behind is removed.
fn is_free(path: &Path) -> bool {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Tells whether some process has the file open.
pub(super) fn anyone_lives(database: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory(database)) else {
        return false;
    };
    entries.flatten().any(|entry| !is_free(&entry.path()))
}

fn file_of(database: &Path, number: i64) -> PathBuf {
    directory(database).join(format!("{number}.lock"))
}

fn directory(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".locks");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_proves_life_and_one_that_is_not_death() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("tasker.db");
        let lock = ProcessLock::take(&database, 7).unwrap();
        assert!(lock.is_some());
        assert!(ProcessLock::take(&database, 7).unwrap().is_none());
        assert!(!dead(&database, 7));
        assert!(anyone_lives(&database));
        drop(lock);
        assert!(dead(&database, 7));
        assert!(!anyone_lives(&database));
    }

    #[test]
    fn a_lock_file_left_behind_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("tasker.db");
        std::fs::create_dir(super::directory(&database)).unwrap();
        let left = file_of(&database, 3);
        std::fs::write(&left, "").unwrap();
        assert!(dead(&database, 3));
        assert!(!left.exists());
    }
}
