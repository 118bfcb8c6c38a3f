//! The examples do what their texts say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::program::{Place, step};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples")
}

/// Copies an example, without what an earlier run of it wrote.
fn copy_of(example: &str) -> Place {
    let place = Place::new();
    copy(&examples().join(example), &place.path(example));
    place
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "output" {
            continue;
        }
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const PIPELINE: &str = "customer_analytics/pipeline.yaml";

fn read(place: &Place, name: &str) -> String {
    fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn the_analytics_pipeline_completes_with_one_retry() {
    let place = copy_of("customer_analytics");
    let task = place.run(&["run", PIPELINE]).well();
    assert_eq!(task["state"], "complete");
    assert_eq!(task["completion_percentage"], 100.0);
    let steps = task["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 8);
    for step in steps {
        let expected = if step["name"] == "extract_products" { 2 } else { 1 };
        assert_eq!(step["attempts"], expected, "{step}");
    }
    let report = read(&place, "customer_analytics/output/report.html");
    assert!(report.contains("</html>"), "{report}");
    place.run(&["verify"]).well();
}

#[test]
fn the_analytics_pipeline_can_do_without_its_failure() {
    let place = copy_of("customer_analytics");
    let task = place
        .run(&["run", PIPELINE, "--context", r#"{"flaky": false}"#])
        .well();
    assert_eq!(step(&task, "extract_products")["attempts"], 1);
}

#[test]
fn a_killed_analytics_pipeline_ends_in_the_same_report() {
    let whole = copy_of("customer_analytics");
    whole.run(&["run", PIPELINE]).well();
    let killed = copy_of("customer_analytics");
    let mut running = killed
        .tasker(&["run", PIPELINE, "--key", "report"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(250));
    running.kill().unwrap();
    running.wait().unwrap();
    killed.run(&["resume"]).well();
    killed.run(&["run", PIPELINE, "--key", "report"]).well();
    let report = "customer_analytics/output/report.txt";
    assert_eq!(read(&killed, report), read(&whole, report));
}

#[test]
fn the_generator_makes_the_committed_data_again() {
    let example = examples().join("customer_analytics");
    let place = Place::new();
    let status = Command::new("awk")
        .arg("-v")
        .arg(format!("dir={}", place.path("").display()))
        .args(["-f", "scripts/generate.awk"])
        .current_dir(&example)
        .status()
        .unwrap();
    assert!(status.success());
    for name in ["customers.csv", "orders.csv", "products.csv"] {
        let committed = fs::read(example.join("data").join(name)).unwrap();
        assert!(fs::read(place.path(name)).unwrap() == committed, "{name} differs");
    }
}

#[test]
fn hello_counts_its_own_lines() {
    let place = copy_of("hello");
    let task = place.run(&["run", "hello/hello.yaml"]).well();
    let lines = read(&place, "hello/hello.yaml").lines().count();
    assert_eq!(
        task["result"]["tell"],
        format!("hello.yaml has {lines} lines"),
        "{task}"
    );
}
