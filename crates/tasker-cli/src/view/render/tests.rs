use tasker_types::{Position, StepNo};

use super::*;
use crate::view::text::Colours;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + millis * 1_000)
}

fn step(name: &str, parents: &[u32]) -> Step {
    Step {
        name: name.to_owned(),
        parents: parents.iter().map(|parent| StepNo(*parent)).collect(),
        state: StepState::Pending,
        attempts: 0,
        retry_limit: 3,
        retryable: true,
        permanent: false,
        due_at: None,
        started_at: None,
        finished_at: None,
        progress: None,
        error: None,
    }
}

fn ran(step: Step, state: StepState, attempts: u32, from: i64, to: i64) -> Step {
    let finished_at = (state != StepState::InProgress).then(|| at(to));
    Step {
        state,
        attempts,
        started_at: Some(at(from)),
        finished_at,
        ..step
    }
}

fn model(steps: Vec<Step>) -> Model {
    Model {
        id: "019b76da-a800-7000-8000-00000000002a".to_owned(),
        name: "default_system.customer_analytics@1.0.0".to_owned(),
        state: TaskState::InProgress,
        failure: None,
        created_at: at(0),
        finished_at: None,
        steps,
        position: Position(0),
    }
}

fn pipeline() -> Model {
    let mut orders = ran(step("extract_orders", &[]), StepState::Error, 1, 0, 400);
    orders.due_at = Some(at(3_450));
    orders.error = Some("error: the command ended with exit code 75\nsee the log".to_owned());
    let products = ran(step("extract_products", &[]), StepState::InProgress, 2, 1_000, 0);
    let products = Step {
        error: Some("timeout: no end within 2 seconds".to_owned()),
        ..products
    };
    model(vec![
        ran(step("extract_customers", &[]), StepState::Complete, 1, 0, 1_230),
        orders,
        products,
        step("transform_customers", &[0]),
        step("transform_sales", &[1, 2]),
        step("generate_insights", &[3, 4]),
        step("build_dashboard", &[0, 1, 2, 3, 4, 5]),
        step("send_notifications", &[6]),
    ])
}

fn draw(model: &Model, columns: usize, rows: usize) -> String {
    let lines = render(model, at(2_000), Size { columns, rows });
    assert!(lines.len() <= rows, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.width() <= columns));
    lines.iter().map(Line::plain).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_wide_terminal_shows_everything() {
    insta::assert_snapshot!(draw(&pipeline(), 110, 30));
}

#[test]
fn a_narrow_terminal_keeps_names_states_and_reasons() {
    insta::assert_snapshot!(draw(&pipeline(), 50, 30));
}

#[test]
fn a_tiny_terminal_is_not_overrun() {
    insta::assert_snapshot!(draw(&pipeline(), 20, 4));
    for columns in 0..30 {
        for rows in 0..12 {
            draw(&pipeline(), columns, rows);
        }
    }
}

#[test]
fn what_needs_attention_comes_first_when_there_is_no_room() {
    insta::assert_snapshot!(draw(&pipeline(), 100, 7));
}

#[test]
fn of_a_hundred_thousand_steps_the_screen_shows_a_few() {
    let mut steps: Vec<Step> = (0..99_990)
        .map(|n| ran(step(&format!("part_{n}"), &[]), StepState::Complete, 1, n, n + 10))
        .collect();
    steps.push(ran(step("running_one", &[]), StepState::InProgress, 1, 100, 0));
    steps.extend((0..9).map(|n| step(&format!("after_{n}"), &[99_990])));
    insta::assert_snapshot!(draw(&model(steps), 80, 8));
}

#[test]
fn failures_say_why_nobody_tries_again() {
    let mut permanent = ran(step("charge_card", &[]), StepState::Error, 1, 0, 120);
    permanent.permanent = true;
    permanent.error = Some("HTTP_404: \x1b[2Jno such\taccount".to_owned());
    let mut exhausted = ran(step("reserve", &[]), StepState::Error, 3, 1_500, 1_900);
    exhausted.error = Some(
        "error: 在庫がありません, und noch viel mehr dazu, so dass es nicht in die Zeile passt".to_owned(),
    );
    let cancelled = Step {
        state: StepState::Cancelled,
        ..step("notify", &[])
    };
    let resolved = Step {
        state: StepState::ResolvedManually,
        ..step("approve", &[])
    };
    let mut model = model(vec![
        permanent,
        exhausted,
        cancelled,
        resolved,
        step("ship", &[0, 1, 2, 3]),
    ]);
    model.state = TaskState::Error;
    model.failure = Some("steps_in_error_state".to_owned());
    model.finished_at = Some(at(1_900));
    insta::assert_snapshot!(draw(&model, 100, 30));
}

#[test]
fn a_first_start_in_the_future_is_counted_down() {
    let later = Step {
        due_at: Some(at(74_000)),
        ..step("at_night", &[])
    };
    let mut model = model(vec![later, step("at_once", &[])]);
    model.state = TaskState::Pending;
    insta::assert_snapshot!(draw(&model, 80, 10));
}

#[test]
fn colours_follow_what_a_step_is_doing() {
    let lines = render(&pipeline(), at(2_000), Size { columns: 80, rows: 5 });
    let text = lines
        .iter()
        .map(|line| line.render(Colours::On))
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(text.replace('\x1b', "^"));
}

#[test]
fn a_running_step_says_how_far_it_is() {
    let load = ran(step("load", &[]), StepState::InProgress, 2, 0, 0);
    let load = Step {
        progress: Some("40 % (4 of 10): reading orders".to_owned()),
        error: Some("timeout".to_owned()),
        ..load
    };
    let text = draw(&model(vec![load.clone()]), 100, 9);
    assert!(text.contains("40 % (4 of 10): reading orders"), "{text}");
    assert!(!text.contains("timeout"), "{text}");
    let failed = Step {
        state: StepState::Error,
        permanent: true,
        ..load
    };
    let text = draw(&model(vec![failed]), 100, 9);
    assert!(text.contains("for good: timeout"), "{text}");
}
