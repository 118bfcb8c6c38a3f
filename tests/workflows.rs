//! The shapes of workflows, end to end: which attempts ran, and when.
//!
//! Every attempt takes a second. Some steps fail at first, some hang until their time limit of three seconds; they
//! are tried again after 1, 2, 4 … seconds, three times in all.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{StepBuilder, StepContext, StepError, StepHandler, Template, handler};
use tasker_testkit::shapes;
use tasker_types::TaskState;
use tests::{StoreKind, Workshop};

/// How a step begins: it succeeds after that.
#[derive(Clone, Copy)]
enum Start {
    /// It fails so many times.
    Fails(u32),
    /// It times out so many times.
    TimesOut(u32),
}
use Start::{Fails, TimesOut};

type Plan = &'static [(&'static str, Start)];

/// Returns a shape whose steps that time out have a limit.
fn template(shape: &Template, plan: Plan) -> Arc<Template> {
    let step = |step: &tasker_engine::StepTemplate| {
        let name = step.name().as_str();
        let parents = step
            .depends_on()
            .iter()
            .map(|parent| shape.step(*parent).name().as_str());
        let built = StepBuilder::new(name, "any").depends_on(parents);
        let times_out = plan
            .iter()
            .any(|(planned, start)| *planned == name && matches!(start, TimesOut(_)));
        if times_out {
            built.timeout(Duration::from_secs(3))
        } else {
            built
        }
    };
    let steps = shape.steps().iter().map(step);
    steps
        .fold(Template::builder(shape.name().as_str()), |builder, step| {
            builder.step(step)
        })
        .build()
        .unwrap()
}

fn on_plan(plan: Plan) -> Arc<dyn StepHandler> {
    handler(move |ctx: StepContext| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = plan.iter().find(|(step, _)| *step == ctx.step_name().as_str());
        match start.map(|(_, start)| *start) {
            Some(Fails(times)) if ctx.attempt() <= times => Err(StepError::retryable("not yet")),
            Some(TimesOut(times)) if ctx.attempt() <= times => std::future::pending().await,
            _ => Ok(ctx.attempt()),
        }
    })
}

/// Runs a shape by a plan on every store.
#[track_caller]
fn check(shape: &Template, plan: Plan, timeline: &str) {
    let template = template(shape, plan);
    for kind in StoreKind::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (ran, end) = runtime.block_on(async {
            let workshop = Workshop::open(*kind, on_plan(plan));
            let task = workshop.create(Arc::clone(&template)).await.unwrap();
            let end = workshop.end(task).await.unwrap();
            let ran = workshop.timeline(task).await.unwrap();
            assert_eq!(
                workshop.store.results(task).await.unwrap().len(),
                template.steps().len()
            );
            workshop.close().await.unwrap();
            (ran, end)
        });
        let expected: String = timeline
            .lines()
            .map(|line| format!("{}\n", line.trim()))
            .collect();
        assert_eq!(ran.trim(), expected.trim(), "on {kind}");
        assert_eq!(end.task.state, TaskState::Complete, "on {kind}");
    }
}

#[test]
fn linear_retries_its_third_step() {
    check(
        &shapes::linear(6),
        &[("process_data", Fails(1))],
        "initialize_data: 0 start, 1 succeed
         validate_input: 1 start, 2 succeed
         process_data: 2 start, 3 fail, 4 start, 5 succeed
         transform_results: 5 start, 6 succeed
         validate_output: 6 start, 7 succeed
         finalize_workflow: 7 start, 8 succeed",
    );
}

#[test]
fn diamond_waits_for_the_slower_branch() {
    check(
        &shapes::diamond(),
        &[
            ("branch_one_process", Fails(1)),
            ("branch_two_process", TimesOut(1)),
        ],
        "start_workflow: 0 start, 1 succeed
         branch_one_process: 1 start, 2 fail, 3 start, 4 succeed
         branch_two_process: 1 start, 4 fail, 5 start, 6 succeed
         branch_one_validate: 4 start, 5 succeed
         branch_two_validate: 6 start, 7 succeed
         merge_branches: 7 start, 8 succeed
         end_workflow: 8 start, 9 succeed",
    );
}

#[test]
fn tree_gathers_its_leaves() {
    check(
        &shapes::tree(),
        &[
            ("a_two", TimesOut(1)),
            ("branch_b_setup", Fails(1)),
            ("b_two", Fails(1)),
        ],
        "root_initialization: 0 start, 1 succeed
         branch_a_setup: 1 start, 2 succeed
         branch_b_setup: 1 start, 2 fail, 3 start, 4 succeed
         a_one: 2 start, 3 succeed
         a_two: 2 start, 5 fail, 6 start, 7 succeed
         b_one: 4 start, 5 succeed
         b_two: 4 start, 5 fail, 6 start, 7 succeed
         aggregate_results: 7 start, 8 succeed",
    );
}

#[test]
fn parallel_merge_starts_all_roots_at_once() {
    check(
        &shapes::parallel_merge(),
        &[
            ("fetch_order", Fails(1)),
            ("fetch_inventory", TimesOut(1)),
            ("merge_all", Fails(1)),
        ],
        "fetch_user: 0 start, 1 succeed
         fetch_order: 0 start, 1 fail, 2 start, 3 succeed
         fetch_inventory: 0 start, 3 fail, 4 start, 5 succeed
         fetch_pricing: 0 start, 1 succeed
         process_user: 1 start, 2 succeed
         process_order: 3 start, 4 succeed
         merge_all: 5 start, 6 fail, 7 start, 8 succeed",
    );
}

#[test]
fn mixed_waits_longer_after_a_second_failure() {
    check(
        &shapes::mixed(),
        &[
            ("validate_permissions", Fails(1)),
            ("setup_environment", TimesOut(1)),
            ("process_critical", Fails(2)),
        ],
        "init_auth: 0 start, 1 succeed
         init_config: 0 start, 1 succeed
         validate_permissions: 1 start, 2 fail, 3 start, 4 succeed
         setup_environment: 1 start, 4 fail, 5 start, 6 succeed
         begin_processing: 6 start, 7 succeed
         process_critical: 7 start, 8 fail, 9 start, 10 fail, 12 start, 13 succeed
         process_optional: 7 start, 8 succeed
         cleanup_temp: 6 start, 7 succeed
         finalize_and_report: 13 start, 14 succeed",
    );
}

#[test]
fn a_third_failure_ends_the_task_when_the_other_branch_is_done() {
    let plan: Plan = &[
        ("branch_one_process", Fails(3)),
        ("branch_two_process", TimesOut(2)),
    ];
    let template = template(&shapes::diamond(), plan);
    for kind in StoreKind::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let workshop = Workshop::open(*kind, on_plan(plan));
            let task = workshop.create(Arc::clone(&template)).await.unwrap();
            let end = workshop.end(task).await.unwrap();
            assert_eq!(end.task.state, TaskState::Error, "on {kind}");
            assert_eq!(
                workshop.timeline(task).await.unwrap(),
                "start_workflow: 0 start, 1 succeed\n\
                 branch_one_process: 1 start, 2 fail, 3 start, 4 fail, 6 start, 7 fail\n\
                 branch_two_process: 1 start, 4 fail, 5 start, 8 fail, 10 start, 11 succeed\n\
                 branch_two_validate: 11 start, 12 succeed\n",
                "on {kind}"
            );
            workshop.close().await.unwrap();
        });
    }
}
