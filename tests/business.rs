//! The business examples, end to end on every store: which attempts ran, and when.

mod checkouts;
mod orders;
mod refunds;
mod registrations;

use std::fmt::Write as _;
use std::sync::Arc;

use tasker::config::Loader;
use tasker::{Change, Position, SeededEntropy, StepEvent, Tasker, TaskerBuilder, Timestamp, TokioClock};
use tasker_types::TaskId;
use tests::StoreKind;

/// 2026-01-01.
const BEGIN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Plays on every store, in virtual time and without jitter.
fn on_every_store(play: impl AsyncFn(TaskerBuilder)) {
    for kind in StoreKind::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let clock = Arc::new(TokioClock::starting_at(BEGIN));
            let opened = kind.open(Arc::<TokioClock>::clone(&clock));
            let config = Loader::new().set("backoff.jitter_enabled", false).load().unwrap();
            let builder = Tasker::builder()
                .store(Arc::clone(&opened.store))
                .clock(clock)
                .entropy(Arc::new(SeededEntropy::new(5)))
                .config(config);
            play(builder).await;
            let report = tasker::verify_all(&*opened.store).await.unwrap();
            assert!(report.holds(), "on {kind}: {report}");
        });
    }
}

/// Returns what happened to each step of a task: a line a step, with the seconds since the task began.
async fn attempts(tasker: &Tasker, task: TaskId) -> String {
    let snapshot = tasker.store().snapshot(task).await.unwrap().unwrap();
    let history = tasker.store().history(task, Position(0), u32::MAX).await.unwrap();
    let begin = snapshot.task.started_at.unwrap_or(snapshot.task.created_at);
    let mut text = String::new();
    for (step, template) in snapshot.steps.iter().zip(snapshot.task.template.steps()) {
        let mut line = String::new();
        for entry in &history {
            if let Change::Step { step: of, event, .. } = &entry.change
                && *of == step.step
            {
                let second = entry.at.since(begin).as_secs_f64().round();
                let separator = if line.is_empty() { "" } else { ", " };
                let _ = write!(line, "{separator}{second} {event}");
                if *event == StepEvent::Fail {
                    let failure: tasker::Failure = entry.metadata.as_ref().unwrap().to().unwrap();
                    let _ = write!(line, " {}", failure.code);
                }
            }
        }
        let _ = writeln!(text, "{}: {line}", template.name());
    }
    text
}

/// Compares what happened with what should have, line by line.
#[track_caller]
fn same(ran: &str, expected: &str, of: &str) {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(lines(ran), lines(expected), "{of}");
}
