//! The points at which a store can fail: every statement of the sources has some, and a sample of the faults does no harm.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use proc_macro2::{TokenStream, TokenTree};
use tests::crash_points::{Ground, Kind, Outcome, Place, Plan, Planned, Suite, Wanted, live_on};

/// What a statement begins with.
const VERBS: [&str; 20] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "WITH",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "PRAGMA",
    "SET",
    "LISTEN",
    "NOTIFY",
    "LOCK",
    "DECLARE",
    "FETCH",
    "CLOSE",
    "CREATE",
    "ANALYZE",
];

/// What the doctor says to do, which the store does not do itself.
const ADVICE: [&str; 5] = [
    "PRAGMA journal_mode = WAL;",
    "CREATE DATABASE tasker",
    "ROLLBACK PREPARED",
    "SELECT pg_drop_replication_slot(",
    "SELECT pg_terminate_backend({pid})",
];

/// Adds the values of all string literals outside of tests.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    let mut last = String::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if last != "tests" => literals(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push(text.value());
                }
                last.clear();
            }
            TokenTree::Ident(ident) => last = ident.to_string(),
            _ => last.clear(),
        }
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// Returns the statements of a store's sources, and of those that both stores share, with the files that they stand in.
fn statements(place: Place) -> BTreeSet<(String, String)> {
    // The tests of the sources, and what a probe itself has the server do.
    const BESIDE: [&str; 4] = ["full.rs", "faults.rs", "plans.rs", "connection.rs"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/tasker-store/src");
    let is_others = |file: &Path| {
        let below = file.strip_prefix(&root).unwrap();
        let others = Place::ALL.into_iter().filter(|other| *other != place);
        others
            .map(|other| other.to_string())
            .any(|other| below.starts_with(&other) || below.as_os_str() == format!("{other}.rs").as_str())
    };
    let mut all = BTreeSet::new();
    for file in sources(&root) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if is_others(&file) || BESIDE.contains(&name.as_str()) || !name.ends_with(".rs") {
            continue;
        }
        let mut found = Vec::new();
        literals(fs::read_to_string(&file).unwrap().parse().unwrap(), &mut found);
        let begins = |text: &String| {
            let word = text
                .trim_start_matches('(')
                .split([' ', ';'])
                .next()
                .unwrap_or_default();
            VERBS.contains(&word)
        };
        all.extend(found.into_iter().filter(begins).map(|text| (text, name.clone())));
    }
    all
}

/// Tells whether a text of the sources was sent, alone or as a part of others; what stands in braces is filled in, and
/// placeholders may have other numbers.
fn was_sent(text: &str, sent: &BTreeSet<String>) -> bool {
    let begin = text.split('{').next().unwrap_or_default();
    let is_part = begin.len() > 5 && (begin.contains(' ') || begin.len() < text.len());
    let begin = without_numbers(begin);
    sent.contains(text) || (is_part && sent.iter().any(|sent| without_numbers(sent).contains(&begin)))
}

/// Returns a text whose placeholders have no numbers.
fn without_numbers(sql: &str) -> String {
    let mut after = ' ';
    let is_kept = |next: &char| {
        let is_number = next.is_ascii_digit() && after == '$';
        if !is_number {
            after = *next;
        }
        !is_number
    };
    sql.chars().filter(is_kept).collect()
}

fn sample(place: Place, one_of: usize) -> Outcome {
    let suite = Suite {
        place,
        program: Some(env!("CARGO_BIN_EXE_crash_points").into()),
    };
    let wanted = Wanted {
        deeds: 3,
        occurrences: 1,
        text: None,
        one_of,
    };
    let outcome = suite.run(&wanted).unwrap();
    let wrong: Vec<_> = outcome.wrong().collect();
    assert!(wrong.is_empty(), "{place}: {wrong:#?}");
    outcome
}

/// Lives with some of the faults, and checks that every statement of the sources was among what could have failed.
fn check(place: Place, one_of: usize) {
    let outcome = sample(place, one_of);
    let sent = outcome.statements();
    let without: Vec<(String, String)> = statements(place)
        .into_iter()
        .filter(|(text, _)| !was_sent(text, &sent))
        .filter(|(text, _)| !ADVICE.iter().any(|begin| text.starts_with(begin)))
        .collect();
    assert!(
        without.is_empty(),
        "statements of {place} without a point: {without:#?}"
    );
    assert!(outcome.played.len() > 20, "only {} lives", outcome.played.len());
    // Of two faults in a life the second may find nothing to befall: what comes after the first may be joined otherwise.
    assert!(
        outcome.missed() * 5 <= outcome.played.len(),
        "{} faults did not come about",
        outcome.missed()
    );
}

#[test]
fn every_statement_on_sqlite_can_fail_and_a_sample_of_failures_does_no_harm() {
    check(Place::Sqlite, 30);
}

#[test]
fn every_statement_on_postgres_can_fail_and_a_sample_of_failures_does_no_harm() {
    check(Place::Postgres, 80);
}

/// Lives until the process is aborted, has something happen to the file that no store does, and returns what the next
/// process finds.
fn found_after(damage: &str) -> Vec<String> {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [whole, ground] = directories.each_ref().map(|directory| Ground::Sqlite {
        directory: directory.path().to_owned(),
    });
    let lived = live_on(&whole, Plan::new()).unwrap();
    let point = lived
        .seen
        .into_iter()
        .find(|point| point.deed == "Health")
        .unwrap();
    let kind = Kind::AbortBefore;
    let aborted = Command::new(env!("CARGO_BIN_EXE_crash_points"))
        .arg("live")
        .arg(serde_json::to_string(&ground).unwrap())
        .arg(serde_json::to_string(&[Planned { point, kind }]).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!aborted.status.success(), "{aborted:?}");
    let file = directories[1].path().join("tasker.db");
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute(damage).unwrap();
    drop(connection);
    live_on(&ground, Plan::new()).unwrap().problems
}

#[test]
fn what_was_acknowledged_and_is_gone_is_noticed() {
    assert_eq!(found_after(""), Vec::<String>::new());
    let replaced = found_after("UPDATE payloads SET body = '\"another\"' WHERE key % 8 = 1");
    let lost = "was acknowledged and is lost";
    assert!(
        replaced.iter().any(|problem| problem.contains(lost)),
        "{replaced:?}"
    );
    let forgotten = found_after("DELETE FROM history WHERE position = (SELECT max(position) FROM history)");
    assert!(!forgotten.is_empty());
}

#[test]
fn a_statement_that_is_never_sent_is_noticed() {
    let sent = BTreeSet::from(["SELECT 1".to_owned(), "NOTIFY \"here\", 'x'".to_owned()]);
    assert!(was_sent("SELECT 1", &sent) && was_sent("NOTIFY {}, '{}'", &sent));
    assert!(!was_sent("SELECT 2", &sent) && !was_sent("LISTEN {}", &sent));
    let sent = BTreeSet::from(["WITH p AS (DELETE FROM a WHERE b = $12) SELECT $13".to_owned()]);
    assert!(was_sent("DELETE FROM a WHERE b = $1", &sent) && !was_sent("DELETE FROM a WHERE b = 1", &sent));
    let mut found = Vec::new();
    let source = r#"const A: &str = "SELECT \
        7"; fn f() { format!("SET {}", 1); } mod tests { const B: &str = "SELECT 8"; }"#;
    literals(source.parse().unwrap(), &mut found);
    assert_eq!(found, ["SELECT 7", "SET {}"]);
}
