//! Each finding about a file is provoked, and what is said to mend it does.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use tasker_store::doctor::examine;
use tasker_store::{Checkup, Finding, Prune, PruneMode, SqliteFile, SqliteOptions, SqliteStore};
use tasker_testkit::{Harness, ManualClock, shapes};
use tasker_types::{Database, DatabaseValues, Synchronous};

/// A file in a directory of its own.
struct Ward {
    path: PathBuf,
    clock: ManualClock,
    _directory: tempfile::TempDir,
}

impl Ward {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("tasker.db"),
            clock: ManualClock::new(),
            _directory: directory,
        }
    }

    fn open(&self) -> (SqliteStore, Harness) {
        let options = SqliteOptions::new(&self.path, Arc::new(self.clock.clone()));
        let store = SqliteStore::open(options).unwrap();
        (store.clone(), Harness::new(Arc::new(store), self.clock.clone()))
    }

    /// Makes a file with tasks that have ended, and closes it.
    async fn filled(&self, tasks: usize) -> SqliteStore {
        let (store, h) = self.open();
        h.create_all((0..tasks).map(|_| h.new_task(shapes::diamond())).collect())
            .await;
        h.run_ready().await;
        store
    }

    fn findings(&self, checkup: &Checkup) -> Vec<Finding> {
        examine(&self.path, checkup).unwrap()
    }

    /// Expects one finding, and does what mends it.
    fn mend(&self, checkup: &Checkup, code: &str) {
        let findings = self.findings(checkup);
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [code], "{findings:?}");
        let mut connection = SqliteConnection::establish(self.path.to_str().unwrap()).unwrap();
        connection.batch_execute(&findings[0].mend).unwrap();
        assert_eq!(self.findings(checkup), []);
    }
}

#[tokio::test]
async fn a_sound_file_has_no_findings() {
    let ward = Ward::new();
    ward.filled(3).await;
    assert_eq!(ward.findings(&Checkup::default()), []);
}

#[tokio::test]
async fn missing_migrations_are_found() {
    let ward = Ward::new();
    let findings = ward.findings(&Checkup::default());
    assert_eq!(findings[0].code, "missing_migrations");
    assert!(!ward.path.exists(), "looking makes no file");
    drop(ward.open());
    assert_eq!(ward.findings(&Checkup::default()), []);
}

#[tokio::test]
async fn a_log_that_grows_is_found_and_mended() {
    let ward = Ward::new();
    let store = ward.filled(3).await;
    let mut checkup = Checkup::default();
    checkup.log_bytes = Some(0);
    ward.mend(&checkup, "large_log");
    store.close().await.unwrap();
}

#[tokio::test]
async fn free_pages_are_found_and_mended() {
    let ward = Ward::new();
    let store = ward.filled(400).await;
    ward.clock.advance(Duration::from_secs(5));
    let mut prune = Prune::new(Duration::ZERO, PruneMode::Remove);
    prune.limit = 1_000;
    assert_eq!(store.prune(&prune).await.unwrap().unwrap().pruned, 399);
    store.close().await.unwrap();
    drop(store);
    let mut checkup = Checkup::default();
    checkup.free_bytes = 0;
    ward.mend(&checkup, "free_pages");
}

#[tokio::test]
async fn another_journal_mode_is_found_and_mended() {
    let ward = Ward::new();
    ward.filled(1).await.close().await.unwrap();
    let mut connection = SqliteConnection::establish(ward.path.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA journal_mode = DELETE").unwrap();
    drop(connection);
    ward.mend(&Checkup::default(), "journal_mode");
}

#[tokio::test]
async fn damage_is_found() {
    let ward = Ward::new();
    ward.filled(100).await.close().await.unwrap();
    let size = std::fs::metadata(&ward.path).unwrap().len();
    let mut file = std::fs::OpenOptions::new().write(true).open(&ward.path).unwrap();
    // The pages of rows, not those that say which tables there are.
    for page in (size / 4_096 / 2)..(size / 4_096 - 1) {
        file.seek(SeekFrom::Start(page * 4_096)).unwrap();
        file.write_all(&[0xAA; 512]).unwrap();
    }
    drop(file);
    let findings = ward.findings(&Checkup::default());
    assert_eq!(findings[0].code, "damaged", "{findings:?}");
}

#[tokio::test]
async fn commits_that_a_power_failure_may_take_are_found() {
    let ward = Ward::new();
    ward.filled(1).await;
    let values = DatabaseValues {
        synchronous: Synchronous::Normal,
        ..DatabaseValues::default()
    };
    let settings = Database::try_from(values).unwrap();
    let findings = examine(
        SqliteFile::new(&ward.path).settings(&settings),
        &Checkup::default(),
    )
    .unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].code, "not_durable");
}
