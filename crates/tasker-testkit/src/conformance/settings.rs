//! Settings of steps that operators change.

use std::time::Duration;

use serde_json::json;
use tasker_engine::{Change, Demand, Json, StoreError};
use tasker_types::TaskState;

use super::{A, B, limited, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

pub(super) async fn a_higher_retry_limit_resumes_an_exhausted_task(h: &Harness) {
    let task = h.create(limited(1)).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, Duration::ZERO)).await;
    assert_eq!(h.state(task).await, TaskState::Error);
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 2)).await.task_state,
        TaskState::InProgress
    );
    let setting = |change: &Change| *change == Change::Setting { step: Some(A) };
    assert!(h.history(task).await.iter().any(|entry| setting(&entry.change)));
    let claim = h.claim_one().await;
    assert_eq!((claim.attempt, claim.retry_limit), (2, 2));
    assert_eq!(
        h.turn(vec![succeed(&claim)], 0).await.finished,
        [(task, TaskState::Complete)]
    );
}

pub(super) async fn a_higher_retry_limit_does_not_mend_a_permanent_failure(h: &Harness) {
    let task = h.create(limited(1)).await;
    let claim = h.claim_one().await;
    h.end(fail_permanently(&claim)).await;
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 9)).await.task_state,
        TaskState::Error
    );
    assert_eq!(h.snapshot(task).await.steps[0].retry_limit, 9);
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_lower_retry_limit_ends_the_retries(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, Duration::from_secs(5))).await;
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 1)).await.task_state,
        TaskState::Error
    );
    h.pass(10);
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_retry_limit_of_zero_is_refused(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let error = h.intervene(task, Demand::SetRetryLimit(A, 0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn settings_of_a_running_step_are_refused(h: &Harness) {
    let task = h.create(pair()).await;
    h.claim(1).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let config = Json::from(&json!({ "size": 3 }));
    for demand in [
        Demand::SetRetryLimit(A, 5),
        Demand::SetTimeout(A, Some(Duration::from_secs(5))),
        Demand::SetConfig(A, config.clone()),
    ] {
        let error = h.intervene(task, demand).await.unwrap_err();
        assert!(
            matches!(error, StoreError::StepInProgress { task: named, step } if (named, step) == (task, A)),
            "{error:?}"
        );
    }
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    h.demand(task, Demand::SetConfig(B, config)).await;
}

pub(super) async fn a_new_time_limit_and_configuration_come_with_the_next_claim(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let config = Json::from(&json!({ "size": 3 }));
    let limit = Duration::from_millis(1_500);
    h.demand(task, Demand::SetTimeout(A, Some(limit))).await;
    h.demand(task, Demand::SetConfig(A, config.clone())).await;
    let claim = h.claim_one().await;
    assert_eq!(
        (claim.timeout, claim.config.as_ref()),
        (Some(limit), Some(&config))
    );
    h.end(fail(&claim, Duration::ZERO)).await;
    h.demand(task, Demand::SetTimeout(A, None)).await;
    let claim = h.claim_one().await;
    assert_eq!((claim.timeout, claim.config), (None, Some(config)));
}
