//! Which processes use a file, proven by locks that the operating system takes back from the dead.
//!
//! Each store holds the lock of a small file of its own beside the database. Whoever can take such a lock knows that its
//! holder is gone, and need not wait for the holder's leases to run out.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tasker_engine::StoreError;

/// Tells stores of one process apart.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The lock that a store holds as long as it is open.
#[derive(Debug)]
pub(super) struct ProcessLock {
    name: String,
    path: PathBuf,
    _file: File,
}

impl ProcessLock {
    /// Takes a lock that nobody has; `random` tells it from those of processes on other machines.
    pub(super) fn take(database: &Path, random: u64) -> Result<Self, StoreError> {
        let refused = |problem: std::io::Error| StoreError::NotWritable {
            store: database.display().to_string(),
            problem: format!("its lock file cannot be made: {problem}"),
            advice: "give this user the right to write to the directory of the file",
        };
        let directory = directory(database);
        std::fs::create_dir_all(&directory).map_err(refused)?;
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-{random:x}", std::process::id());
        let path = directory.join(&name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .map_err(refused)?;
        file.lock().map_err(refused)?;
        Ok(Self {
            name,
            path,
            _file: file,
        })
    }

    /// Returns the name by which the database knows this store.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ProcessLock {
    fn drop(&mut self) {
        // A file that stays behind has no lock and is removed by whoever notices.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Tells whether the holder of a lock is gone.
pub(super) fn dead(database: &Path, name: &str) -> bool {
    let path = directory(database).join(name);
    let file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
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
    entries
        .flatten()
        .any(|entry| !dead(database, &entry.file_name().to_string_lossy()))
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
        let name = lock.name().to_owned();
        assert!(!dead(&database, &name));
        assert!(anyone_lives(&database));
        drop(lock);
        assert!(dead(&database, &name));
        assert!(!anyone_lives(&database));
    }

    #[test]
    fn a_lock_file_left_behind_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("tasker.db");
        std::fs::create_dir(super::directory(&database)).unwrap();
        let left = super::directory(&database).join("1-0-0");
        std::fs::write(&left, "").unwrap();
        assert!(dead(&database, "1-0-0"));
        assert!(!left.exists());
    }
}
