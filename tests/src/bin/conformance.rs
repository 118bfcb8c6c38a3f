//! `cargo xtask conformance FILE...`: compares the engine with files of vectors; with `--graphs`, the analysis of graphs
//! with brute force.
//!
//! A line of a file is one vector: its `kind`, what goes in, and what is `expected` to come out. Keys that a vector
//! does not expect are not compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ::tests::graphs::{Compared, Extent, Fitting, every_graph, random_graphs};
use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Number, Value, json};
use tasker_engine::delay_seconds;
use tasker_graph::{TaskDocument, analyze};
use tasker_types::{
    Backoff, BackoffValues, DependencyGraphValues, GraphWeights, StepFacts, StepState, TaskContext, TaskState,
};

/// Compares the engine with files of vectors, or the analysis of graphs with brute force.
#[derive(Debug, Parser)]
#[command(
    name = "conformance",
    bin_name = "cargo xtask conformance",
    after_help = "Examples:\n  cargo xtask conformance tests/golden/*.jsonl\n  cargo xtask \
                  conformance --graphs 6\n\nExit codes:\n  0 all passed   1 some \
                  failed   2 a file cannot be read or has what is no vector"
)]
struct Args {
    /// Files with one vector a line, of the kinds `task_context`, `backoff_seconds` and `graph_analysis`.
    #[arg(required_unless_present = "graphs", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Instead: every graph of up to so many steps, in every combination of their states that fits, and random ones of
    /// up to 14 steps.
    #[arg(long, value_name = "STEPS", conflicts_with = "files", value_parser = clap::value_parser!(u8).range(0..=6))]
    graphs: Option<u8>,
}

/// One line of a file.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Vector {
    TaskContext {
        id: String,
        input: Task,
        expected: Value,
    },
    BackoffSeconds {
        config: BackoffValues,
        attempt: i64,
        expected: Value,
    },
    GraphAnalysis {
        id: String,
        config: Box<DependencyGraphValues>,
        input: Box<TaskDocument>,
        expected: Value,
    },
}

#[derive(Debug, Deserialize)]
struct Task {
    #[serde(default = "in_progress")]
    task_state: TaskState,
    steps: Vec<Step>,
    /// Pairs of a parent's and a child's id.
    edges: Vec<(u64, u64)>,
}

#[derive(Debug, Deserialize)]
struct Step {
    id: u64,
    state: StepState,
    attempts: u32,
    retry_limit: u32,
    retryable: bool,
    #[serde(default)]
    permanent: bool,
    next_retry_in_seconds: Option<f64>,
}

fn in_progress() -> TaskState {
    TaskState::InProgress
}

/// The kinds of vectors that are known here.
const KINDS: [&str; 3] = ["task_context", "backoff_seconds", "graph_analysis"];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's answer goes to its standard output, what hinders it to the other one"
)]
fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(most) = args.graphs {
        return match graphs(most.into()) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    let (mut passed, mut failed, mut refused) = (0_u64, 0_u64, false);
    for file in &args.files {
        match compare(file) {
            Ok(counts) => {
                passed += counts.passed;
                failed += counts.differences.len() as u64;
                for difference in counts.differences {
                    println!("{difference}");
                }
            }
            Err(error) => {
                refused = true;
                eprintln!("error: {error:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match (refused, failed) {
        (true, _) => ExitCode::from(2),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    }
}

/// How many random graphs are compared.
const RANDOM: u64 = 100_000;

/// Compares the analysis of graphs with brute force.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn graphs(most: usize) -> anyhow::Result<ExitCode> {
    let mut sum = Compared::default();
    let mut add = |what: &str, compared: Compared| {
        println!("{what}: {compared}");
        for difference in &compared.described {
            println!("{difference}");
        }
        sum += compared;
    };
    for steps in 0..=most {
        // With six steps there are too many states that the engine never reaches.
        let fitting = if steps < 6 {
            Fitting::All
        } else {
            Fitting::Reachable
        };
        let compared = every_graph(steps, Extent::Every(fitting))?;
        add(&format!("{steps} steps"), compared);
    }
    add("random, up to 14 steps", random_graphs(0..RANDOM, 14)?);
    println!("{sum}");
    Ok(match sum.differences {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// How the vectors of a file fared.
#[derive(Debug, Default)]
struct Counts {
    passed: u64,
    /// One for each vector that failed.
    differences: Vec<String>,
}

fn compare(file: &Path) -> anyhow::Result<Counts> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let mut counts = Counts::default();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{name}:{}", index + 1);
        let vector = vector(line).with_context(|| place.clone())?;
        let (id, expected, actual) = vector.play().with_context(|| place.clone())?;
        match difference(&expected, &actual, "") {
            None => counts.passed += 1,
            Some(difference) => counts.differences.push(format!("{place}: {id}: {difference}")),
        }
    }
    ensure!(
        counts.passed > 0 || !counts.differences.is_empty(),
        "{name} has no vectors"
    );
    Ok(counts)
}

fn vector(line: &str) -> anyhow::Result<Vector> {
    let value: Value = serde_json::from_str(line).context("this is no JSON")?;
    let Some(kind) = value.get("kind").and_then(Value::as_str) else {
        bail!("this is no vector: it has no `kind`");
    };
    ensure!(
        KINDS.contains(&kind),
        "vectors of the kind `{kind}` are not supported; known are {}",
        KINDS.join(", ")
    );
    serde_json::from_value(value).context("this is no vector")
}

impl Vector {
    /// Returns the vector's name, what it expects, and what came out.
    fn play(self) -> anyhow::Result<(String, Value, Value)> {
        match self {
            Self::TaskContext { id, input, expected } => Ok((id, expected, input.play()?)),
            Self::BackoffSeconds {
                config,
                attempt,
                expected,
            } => {
                let backoff = Backoff::try_from(config)?;
                Ok((
                    format!("attempt {attempt}"),
                    expected,
                    json!(delay_seconds(&backoff, attempt)),
                ))
            }
            Self::GraphAnalysis {
                id,
                config,
                input,
                expected,
            } => {
                let weights = GraphWeights::try_from(*config)?;
                let analysis = analyze(&input.facts, &input.edges, &weights)?;
                Ok((id, expected, serde_json::to_value(&analysis)?))
            }
        }
    }
}

impl Task {
    fn play(&self) -> anyhow::Result<Value> {
        let mut facts = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            facts.push(step.facts(self.unmet_parents(step.id)?)?);
        }
        let context = TaskContext::of(self.task_state, &facts);
        let active = matches!(self.task_state, TaskState::Pending | TaskState::InProgress);
        let steps = self.steps.iter().zip(&facts).map(|(step, facts)| {
            json!({
                "id": step.id,
                "dependencies_satisfied": facts.dependencies_satisfied(),
                "retry_eligible": facts.retry_eligible(),
                "ready_for_execution": facts.blocking_reason(active).is_none(),
                "blocking_reason": facts.blocking_reason(active),
            })
        });
        Ok(json!({ "context": context, "steps": steps.collect::<Vec<_>>() }))
    }

    fn unmet_parents(&self, child: u64) -> anyhow::Result<u32> {
        let states: BTreeMap<u64, StepState> = self.steps.iter().map(|step| (step.id, step.state)).collect();
        let mut unmet = 0;
        for (parent, _) in self.edges.iter().filter(|edge| edge.1 == child) {
            let state = states
                .get(parent)
                .with_context(|| format!("there is no step {parent}"))?;
            unmet += u32::from(!matches!(
                state,
                StepState::Complete | StepState::ResolvedManually
            ));
        }
        Ok(unmet)
    }
}

impl Step {
    fn facts(&self, unmet_parents: u32) -> anyhow::Result<StepFacts> {
        // What is due in the past is due.
        let due_in = self
            .next_retry_in_seconds
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)));
        Ok(StepFacts {
            state: self.state,
            attempts: self.attempts,
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents,
            due_in: due_in.transpose()?,
        })
    }
}

/// Returns the first place where what is expected did not come out.
fn difference(expected: &Value, actual: &Value, place: &str) -> Option<String> {
    let differs = || {
        let place = if place.is_empty() { "the result" } else { place };
        Some(format!("{place} is {actual}, but {expected} is expected"))
    };
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().find_map(|(key, expected)| {
            let inner = if place.is_empty() {
                key.clone()
            } else {
                format!("{place}.{key}")
            };
            match actual.get(key) {
                Some(actual) => difference(expected, actual, &inner),
                None => Some(format!("{inner} is missing, but {expected} is expected")),
            }
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(index, (expected, actual))| {
                difference(expected, actual, &format!("{place}[{index}]"))
            })
        }
        (Value::Number(left), Value::Number(right)) if equal(left, right) => None,
        _ if expected == actual => None,
        _ => differs(),
    }
}

/// Compares numbers up to the last digits, in which the reader of JSON may be off.
fn equal(left: &Number, right: &Number) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() <= 1e-14 * left.abs().max(right.abs()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn differs(expected: Value, actual: Value, difference: Option<&str>) {
        assert_eq!(super::difference(&expected, &actual, "").as_deref(), difference);
    }

    #[test]
    fn keys_that_are_not_expected_are_not_compared() {
        differs(json!({"a": 1}), json!({"a": 1.0, "b": 2}), None);
        differs(
            json!({"a": {"b": [1]}}),
            json!({"a": {"b": [2]}}),
            Some("a.b[0] is 2, but 1 is expected"),
        );
        differs(json!(10.966666666666663), json!(10.966666666666665), None);
        differs(
            json!(10.9666666666),
            json!(10.9666666667),
            Some("the result is 10.9666666667, but 10.9666666666 is expected"),
        );
        differs(
            json!({"a": null}),
            json!({}),
            Some("a is missing, but null is expected"),
        );
        differs(json!(3), json!(4), Some("the result is 4, but 3 is expected"));
        differs(
            json!([1]),
            json!([1, 2]),
            Some("the result is [1,2], but [1] is expected"),
        );
    }

    #[track_caller]
    fn refuses(line: &str, message: &str) {
        assert_eq!(vector(line).unwrap_err().to_string(), message);
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        refuses("{", "this is no JSON");
        refuses("{}", "this is no vector: it has no `kind`");
        refuses(
            r#"{"kind":"graph"}"#,
            "vectors of the kind `graph` are not supported; known are task_context, backoff_seconds, \
             graph_analysis",
        );
        refuses(r#"{"kind":"backoff_seconds"}"#, "this is no vector");
    }

    #[test]
    fn a_step_waits_for_parents_that_are_not_done() {
        let task = r#"{"steps": [
            {"id": 1, "state": "error", "attempts": 1, "retry_limit": 3, "retryable": true, "next_retry_in_seconds": -1},
            {"id": 2, "state": "pending", "attempts": 0, "retry_limit": 3, "retryable": true,
             "next_retry_in_seconds": null}
        ], "edges": [[1, 2]]}"#;
        let played = serde_json::from_str::<Task>(task).unwrap().play().unwrap();
        assert_eq!(played["context"]["execution_status"], "has_ready_steps");
        assert_eq!(
            played["steps"][1]["blocking_reason"],
            "dependencies_not_satisfied"
        );
    }
}
