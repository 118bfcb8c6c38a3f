use std::time::Duration;

use tasker_types::{GraphWeights, StepFacts};

use super::*;
use crate::analysis::{Step, TaskFacts, analyze};

/// 2026-11-25T12:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_795_608_000_000_000);

fn analysis(steps: &[(&str, StepFacts)], edges: &[(u64, u64)], state: TaskState) -> Analysis {
    let steps = steps
        .iter()
        .enumerate()
        .map(|(id, (name, facts))| Step::new(id as u64, *name, facts.clone()));
    let facts = TaskFacts {
        state,
        taken_at: Some(NOON),
        ..TaskFacts::new(steps)
    };
    analyze(&facts, edges, &GraphWeights::default()).unwrap()
}

fn pending() -> StepFacts {
    StepFacts::default()
}

fn failed(attempts: u32) -> StepFacts {
    StepFacts {
        state: StepState::Error,
        attempts,
        ..StepFacts::default()
    }
}

#[track_caller]
fn says(facts: StepFacts, state: TaskState, details: StepDetails, text: &str) {
    let analysis = analysis(&[("pay", facts)], &[], state);
    let details = move |_| details.clone();
    let explanation = Explainer::new(&analysis, &details).step(0);
    assert_eq!(explanation.to_string(), format!("{text}\n"));
    assert_eq!(explanation.roots, explanation.chain);
    let value = serde_json::to_value(&explanation).unwrap();
    assert_eq!(value["chain"][0]["name"], "pay");
}

fn error(text: &str) -> StepDetails {
    StepDetails {
        last_error: Some(text.to_owned()),
        ..StepDetails::default()
    }
}

#[test]
fn every_cause_has_its_words() {
    let active = TaskState::InProgress;
    says(
        pending(),
        active,
        StepDetails::default(),
        "pay: nothing blocks it",
    );
    says(
        StepFacts {
            due_in: Some(Duration::from_secs(190)),
            ..failed(2)
        },
        active,
        error("HTTP_503"),
        "pay: waits for attempt 3 of 3: HTTP_503, until 2026-11-25T12:03:10Z",
    );
    says(
        StepFacts {
            due_in: Some(Duration::from_secs(60)),
            ..pending()
        },
        active,
        StepDetails::default(),
        "pay: is not to start yet, until 2026-11-25T12:01:00Z",
    );
    says(
        failed(3),
        active,
        error("no route"),
        "pay: has used up 3 of 3 attempts: no route, until a person acts: retry the step, resolve it, or allow more \
         attempts",
    );
    says(
        StepFacts {
            permanent: true,
            ..failed(1)
        },
        active,
        error("no such account"),
        "pay: has failed for good: no such account, until a person acts: mend what is wrong and retry the step, or \
         resolve it",
    );
    says(
        StepFacts {
            retryable: false,
            ..failed(1)
        },
        active,
        StepDetails::default(),
        "pay: has failed and may not be tried again, until a person acts: mend what is wrong and retry the step, or \
         resolve it",
    );
    says(
        StepFacts {
            state: StepState::Cancelled,
            ..pending()
        },
        active,
        StepDetails::default(),
        "pay: was cancelled, until a person acts: retry the step, or resolve it",
    );
    says(
        StepFacts {
            state: StepState::InProgress,
            attempts: 1,
            ..pending()
        },
        active,
        StepDetails {
            lease: Some(("W".to_owned(), NOON.plus(Duration::from_secs(240)))),
            ..StepDetails::default()
        },
        "pay: is run by worker W, until it ends; its lease is held until 2026-11-25T12:04:00Z",
    );
    says(
        StepFacts {
            state: StepState::Complete,
            attempts: 1,
            ..pending()
        },
        active,
        StepDetails::default(),
        "pay: is done (complete)",
    );
    says(
        pending(),
        TaskState::Error,
        StepDetails::default(),
        "pay: could start, but the task is in error, until a person acts: retry the task",
    );
    says(
        pending(),
        TaskState::Cancelled,
        StepDetails::default(),
        "pay: could start, but the task is cancelled, until a person acts: create a new task: this one has ended for \
         good",
    );
    says(
        pending(),
        active,
        StepDetails {
            missing_handler: Some("pay@2.1".to_owned()),
            ..StepDetails::default()
        },
        "pay: could start, but no worker has the handler `pay@2.1`, until a person acts: start a worker that has the \
         handler",
    );
    says(
        pending(),
        active,
        StepDetails {
            slots_in_use: Some(8),
            ..StepDetails::default()
        },
        "pay: could start, but all 8 slots are in use, until a running step ends",
    );
}

/// `mail` waits for `render` and `audit`; `render` for `fetch`; `audit` for `check`.
fn branches(fetch: StepFacts, check: StepFacts) -> Analysis {
    let steps = [
        ("fetch", fetch),
        ("check", check),
        ("render", pending()),
        ("audit", pending()),
        ("mail", pending()),
    ];
    analysis(&steps, &[(0, 2), (1, 3), (2, 4), (3, 4)], TaskState::InProgress)
}

fn none(_: usize) -> StepDetails {
    StepDetails::default()
}

fn names(links: &[Link]) -> Vec<&str> {
    links.iter().map(|link| link.name.as_str()).collect()
}

#[test]
fn a_chain_leads_to_what_holds_up_longest() {
    let waits = |seconds| StepFacts {
        due_in: Some(Duration::from_secs(seconds)),
        ..failed(1)
    };
    let chain = |fetch, check| {
        let analysis = branches(fetch, check);
        let explanation = Explainer::new(&analysis, &none).step(4);
        assert_eq!(names(&explanation.roots), ["fetch", "check"]);
        names(&explanation.chain).join(" ")
    };
    assert_eq!(chain(waits(60), waits(50)), "mail render fetch");
    assert_eq!(chain(waits(60), waits(70)), "mail audit check");
    assert_eq!(chain(waits(60), waits(60)), "mail render fetch");
    assert_eq!(chain(waits(60), failed(3)), "mail audit check");
    assert_eq!(chain(pending(), waits(1)), "mail audit check");
}

#[test]
fn a_chain_is_a_line_for_each_step() {
    let analysis = branches(failed(3), failed(1));
    let explanation = Explainer::new(&analysis, &none).step(4);
    assert_eq!(
        explanation.to_string(),
        "mail: waits for render, audit\n  render: waits for fetch\n    fetch: has used up 3 of 3 attempts, until a \
         person acts: retry the step, resolve it, or allow more attempts\nit waits for more:\n  check: nothing blocks it\n"
    );
    let value = serde_json::to_value(&explanation).unwrap();
    assert_eq!(value["chain"][0]["cause"], "parents");
    assert_eq!(
        value["chain"][0]["waits_for"],
        serde_json::json!(["render", "audit"])
    );
    assert_eq!(value["chain"][2]["clears"]["when"], "by_hand");
}

#[test]
fn a_task_has_its_root_causes() {
    let analysis = branches(
        failed(3),
        StepFacts {
            state: StepState::Complete,
            ..pending()
        },
    );
    let explanation = Explainer::new(&analysis, &none).task();
    let roots: Vec<_> = explanation
        .roots
        .iter()
        .map(|root| (root.link.name.as_str(), root.holds_up))
        .collect();
    assert_eq!(roots, [("fetch", 2), ("audit", 1)]);
    let steps: Vec<_> = explanation
        .steps
        .iter()
        .map(|step| (step.link.name.as_str(), step.root.as_deref()))
        .collect();
    assert_eq!(
        steps,
        [
            ("fetch", None),
            ("render", Some("fetch")),
            ("audit", None),
            ("mail", Some("fetch"))
        ]
    );
    assert_eq!(
        explanation.to_string(),
        "fetch: has used up 3 of 3 attempts, until a person acts: retry the step, resolve it, or allow more attempts \
         (2 steps wait for it)\naudit: nothing blocks it (1 step waits for it)\n"
    );
}

#[test]
fn nothing_blocks_a_task_that_is_done() {
    let done = StepFacts {
        state: StepState::Complete,
        attempts: 1,
        ..pending()
    };
    let analysis = analysis(&[("a", done)], &[], TaskState::Complete);
    let explanation = Explainer::new(&analysis, &none).task();
    assert_eq!(
        explanation.to_string(),
        "the task is complete: nothing blocks it\n"
    );
}

#[test]
fn a_ladder_is_explained_in_linear_time() {
    let steps: Vec<_> = (0..3_001)
        .map(|step| (format!("s{step}"), if step == 0 { failed(3) } else { pending() }))
        .collect();
    let steps: Vec<_> = steps
        .iter()
        .map(|(name, facts)| (name.as_str(), facts.clone()))
        .collect();
    let edges = (0..1_000).flat_map(|n| {
        [
            (n * 3, n * 3 + 1),
            (n * 3, n * 3 + 2),
            (n * 3 + 1, n * 3 + 3),
            (n * 3 + 2, n * 3 + 3),
        ]
    });
    let analysis = analysis(&steps, &edges.collect::<Vec<_>>(), TaskState::InProgress);
    let explainer = Explainer::new(&analysis, &none);
    let explanation = explainer.step(3_000);
    assert_eq!(
        (explanation.chain.len(), names(&explanation.roots)),
        (2_001, vec!["s0"])
    );
    assert_eq!(explainer.task().roots[0].holds_up, 3_000);
}

#[test]
fn an_explainer_shows_who_waits_for_whom() {
    let analysis = analysis(
        &[("pay", failed(3)), ("ship", pending())],
        &[(0, 1)],
        TaskState::InProgress,
    );
    let details = |_| StepDetails::default();
    let explainer = Explainer::new(&analysis, &details);
    assert_eq!(
        format!("{explainer:?}"),
        "Explainer { next: [None, Some(0)], .. }"
    );
}
