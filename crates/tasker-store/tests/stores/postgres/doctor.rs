//! Each finding is provoked, and what is said to mend it does.

use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker_store::postgres::doctor::examine;
use tasker_store::{Checkup, Finding, PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Durability};
use tasker_types::{Database, DatabaseValues};

/// A server, and a schema on it.
struct Ward {
    cluster: Cluster,
    options: PostgresOptions,
    connection: AsyncPgConnection,
}

/// What is a finding as soon as it is there.
fn at_once() -> Checkup {
    let mut checkup = Checkup::default();
    checkup.long_transaction = Duration::ZERO;
    checkup.dead_rows = 10;
    checkup
}

impl Ward {
    async fn open(settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::start_with(Durability::Full, settings).unwrap();
        let options = PostgresOptions::new(cluster.url()).schema("ward");
        let connection = AsyncPgConnection::establish(cluster.url()).await.unwrap();
        let mut ward = Self {
            cluster,
            options,
            connection,
        };
        ward.say("ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '5min'")
            .await;
        ward
    }

    async fn migrated(settings: &[(&str, &str)]) -> Self {
        let ward = Self::open(settings).await;
        PostgresStore::open(ward.options.clone())
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
        ward
    }

    async fn say(&mut self, sql: &str) {
        self.connection.batch_execute(sql).await.unwrap();
    }

    async fn findings(&self) -> Vec<Finding> {
        examine(&self.options, &at_once()).await.unwrap()
    }

    /// Waits until what was just done shows in what the server tells of itself.
    async fn until(&self, shows: impl Fn(&[Finding]) -> bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        for _ in 0..500 {
            findings = self.findings().await;
            if shows(&findings) {
                return findings;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not show in {findings:?}");
    }

    /// Waits for the one finding that there is, does what mends it, and waits until it is gone.
    async fn mend(&mut self, code: &str) -> String {
        let findings = self.until(|findings| !findings.is_empty()).await;
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [code], "{findings:?}");
        for statement in findings[0].mend.split_inclusive(';') {
            self.say(statement).await;
        }
        self.until(<[Finding]>::is_empty).await;
        findings[0].message.clone()
    }
}

#[tokio::test]
async fn a_sound_server_has_no_findings() {
    let ward = Ward::migrated(&[]).await;
    assert_eq!(examine(&ward.options, &Checkup::default()).await.unwrap(), []);
}

#[tokio::test]
async fn missing_migrations_are_found() {
    let ward = Ward::open(&[]).await;
    let findings = ward.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].code, "missing_migrations");
    assert_eq!(findings[0].mend, "tasker migrate up");
    tasker_store::postgres::migrate::up(&ward.options).await.unwrap();
    assert_eq!(ward.findings().await, []);
}

#[tokio::test]
async fn what_keeps_dead_rows_is_found_and_mended() {
    let mut ward = Ward::migrated(&[("max_prepared_transactions", "5"), ("wal_level", "logical")]).await;

    let mut other = AsyncPgConnection::establish(ward.cluster.url()).await.unwrap();
    other
        .batch_execute("SET application_name = 'forgetful'; BEGIN; SELECT 1")
        .await
        .unwrap();
    let told = ward.mend("long_transaction").await;
    assert!(told.contains("`forgetful`"), "{told}");

    ward.say("BEGIN; CREATE TABLE left_over (); PREPARE TRANSACTION 'it''s left'")
        .await;
    let told = ward.mend("prepared_transaction").await;
    assert!(told.contains("`it's left`"), "{told}");

    ward.say("SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
        .await;
    let told = ward.mend("replication_slot").await;
    assert!(told.contains("`left`"), "{told}");
}

#[tokio::test]
async fn what_is_wrong_with_tables_is_found_and_mended() {
    let mut ward = Ward::migrated(&[("autovacuum_naptime", "1h")]).await;
    let actors = "INSERT INTO ward.actors (name) SELECT 'user:' || n FROM generate_series(1, 500) AS n; \
         DELETE FROM ward.actors; SELECT pg_stat_force_next_flush()";
    ward.say(actors).await;
    let told = ward.mend("dead_rows").await;
    assert!(told.contains("`ward.actors` has "), "{told}");

    ward.say(
        "ALTER TABLE ward.ready_steps RESET (autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)",
    )
    .await;
    let told = ward.mend("table_settings").await;
    assert!(
        told.contains("autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0"),
        "{told}"
    );

    ward.say(
        "SET allow_system_table_mods = on; \
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ward.tasks_root_task_index'::regclass",
    )
    .await;
    let told = ward.mend("invalid_index").await;
    assert!(told.contains("`ward.tasks_root_task_index`"), "{told}");
}

#[tokio::test]
async fn settings_of_the_server_are_found_and_mended() {
    let mut ward = Ward::migrated(&[]).await;
    for (setting, code) in [
        ("autovacuum", "no_autovacuum"),
        ("fsync", "not_durable"),
        ("synchronous_commit", "not_durable"),
    ] {
        ward.say(&format!("ALTER SYSTEM SET {setting} = off")).await;
        ward.say("SELECT pg_reload_conf()").await;
        let told = ward.mend(code).await;
        assert!(told.contains(&format!("`{setting}` is off")), "{told}");
    }
    ward.say("ALTER DATABASE postgres RESET idle_in_transaction_session_timeout")
        .await;
    ward.mend("no_idle_timeout").await;
}

#[tokio::test]
async fn too_few_connections_are_found_and_mended() {
    let mut ward = Ward::migrated(&[("max_connections", "20")]).await;
    let values = DatabaseValues {
        writers: 20,
        readers: 20,
        ..DatabaseValues::default()
    };
    ward.options = ward.options.settings(&Database::try_from(values).unwrap());
    let findings = ward.findings().await;
    assert_eq!(findings[0].code, "connection_budget", "{findings:?}");
    assert!(
        findings[0].message.contains("up to 43 connections"),
        "{findings:?}"
    );
    ward.say(&findings[0].mend).await;
    ward.cluster.restart().unwrap();
    assert_eq!(ward.findings().await, []);
}

#[tokio::test]
async fn what_a_role_may_not_do_is_found_and_mended() {
    let mut ward = Ward::migrated(&[]).await;
    ward.say(
        "CREATE ROLE ann LOGIN CONNECTION LIMIT 3; GRANT USAGE ON SCHEMA ward TO ann; \
         GRANT SELECT ON ALL TABLES IN SCHEMA ward TO ann; GRANT ALL ON SCHEMA ward TO ann; \
         CREATE TABLE ward.__diesel_schema_migrations_of_ann (); \
         ALTER TABLE ward.__diesel_schema_migrations OWNER TO ann",
    )
    .await;
    let url = ward.cluster.url().replace("user=tasker", "user=ann");
    ward.options = PostgresOptions::new(url).schema("ward");
    let findings = ward.findings().await;
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["limited_view", "connection_budget"], "{findings:?}");
    for finding in findings {
        ward.say(&finding.mend).await;
    }
    assert_eq!(ward.findings().await, []);
}
