//! The test of a user's workflow: its retries take minutes, and the test takes milliseconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tasker_testkit::engine::{Context, Parents, StepBuilder, StepError, TaskRequest, Template, handler};
use tasker_testkit::types::{StepState, TaskState};
use tasker_testkit::{Mishap, Plan, Workshop, WorkshopBuilder, virtual_time};

// What is under test: a template and its handlers.

#[derive(Deserialize)]
struct Order {
    amount: u64,
}

#[derive(Serialize, Deserialize)]
struct Price {
    total: u64,
}

#[derive(Deserialize)]
struct Priced {
    price: Price,
}

async fn price(Context(order): Context<Order>) -> Result<Price, StepError> {
    match order.amount {
        0 => Err(StepError::permanent("empty_order", "there is nothing to pay for")),
        amount => Ok(Price { total: amount * 3 }),
    }
}

async fn receipt(Parents(Priced { price }): Parents<Priced>) -> Result<String, StepError> {
    Ok(format!("{} euros", price.total))
}

fn template() -> Arc<Template> {
    Template::builder("order")
        .step(StepBuilder::new("price", "price").retry_limit(9))
        .step(
            StepBuilder::new("charge", "gateway")
                .depends_on(["price"])
                .timeout(Duration::from_secs(30)),
        )
        .step(StepBuilder::new("receipt", "receipt").depends_on(["price", "charge"]))
        .build()
        .unwrap()
}

fn order(amount: u64) -> TaskRequest {
    TaskRequest::new(template()).context(json!({ "amount": amount }))
}

/// The gateway is outside of this program: the plan says what it answers.
fn workshop() -> WorkshopBuilder {
    Workshop::builder()
        .handler("price", handler(price))
        .handler("receipt", handler(receipt))
}

fn plan() -> Plan {
    Plan::new().returns("charge", json!({ "charge": 1 }))
}

#[test]
fn an_order_is_paid_although_everything_fails_for_minutes() {
    let begun = Instant::now();
    virtual_time(async {
        let plan = plan()
            .fails("price", 8)
            .times_out("charge", 1)
            .then("charge", Mishap::RetryAfter(Duration::from_secs(120)));
        let workshop = workshop().plan(plan).open();
        workshop
            .run(order(7))
            .await
            .assert_state(TaskState::Complete)
            .assert_result("receipt", "21 euros")
            .assert_timeline(
                "price: 0 start, 0 fail, 1 start, 1 fail, 3 start, 3 fail, 7 start, 7 fail, 15 start, 15 fail, \
                        31 start, 31 fail, 63 start, 63 fail, 112 start, 112 fail, 176 start, 176 succeed
                 charge: 176 start, 206 fail, 207 start, 207 fail, 327 start, 327 succeed
                 receipt: 327 start, 327 succeed",
            );
        assert!(workshop.elapsed() >= Duration::from_secs(327));
        workshop.close().await.unwrap();
    });
    // It takes milliseconds; the bound is that of a machine with other things to do.
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_empty_order_is_refused_and_charges_nobody() {
    virtual_time(async {
        let workshop = workshop().plan(plan()).open();
        workshop
            .run(order(0))
            .await
            .assert_state(TaskState::Error)
            .assert_attempts("price", 1)
            .assert_step("charge", StepState::Pending)
            .assert_waits_for("charge", ["price"]);
        workshop.close().await.unwrap();
    });
}

#[test]
fn an_order_can_be_looked_at_on_its_way() {
    virtual_time(async {
        let workshop = workshop().plan(plan().fails("charge", 1)).open();
        let task = workshop.create(order(1)).await;
        workshop.pass(Duration::from_millis(400)).await;
        workshop
            .look(task)
            .await
            .assert_state(TaskState::InProgress)
            .assert_step("charge", StepState::Error)
            .assert_due_in("charge", Duration::from_secs(1))
            .assert_waits_for("receipt", ["charge"]);
        workshop.drain().await;
        workshop.look(task).await.assert_state(TaskState::Complete);
        workshop.close().await.unwrap();
    });
}
