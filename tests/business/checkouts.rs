//! The monitored checkout.

use std::sync::Arc;

use tasker::{TaskRequest, TaskState, UnknownHandlers};

use super::{attempts, on_every_store, same};

#[path = "../../docs/examples/monitored_checkout/checkout.rs"]
mod checkout;
#[path = "../../docs/examples/monitored_checkout/monitor.rs"]
mod monitor;

use checkout::{Cart, carts};
use monitor::Monitor;

/// What must have happened to a cart: its state, and its attempts.
fn expected(cart: &Cart) -> (TaskState, String) {
    let ok = "0 start, 0 succeed";
    let (charge, end) = match cart.declines {
        _ if cart.is_flagged() => ("", None),
        0 => (ok, Some(0)),
        1 => ("0 start, 0 fail declined, 1 start, 1 succeed", Some(1)),
        2 => (
            "0 start, 0 fail declined, 1 start, 1 fail declined, 3 start, 3 succeed",
            Some(3),
        ),
        _ => (
            "0 start, 0 fail declined, 1 start, 1 fail declined, 3 start, 3 fail declined",
            None,
        ),
    };
    let risk = if cart.is_flagged() {
        "0 start, 0 fail too_risky"
    } else {
        ok
    };
    let hand_over = end
        .map(|at| format!("{at} start, {at} succeed"))
        .unwrap_or_default();
    let state = if end.is_some() {
        TaskState::Complete
    } else {
        TaskState::Error
    };
    let lines = format!("open_cart: {ok}\nassess_risk: {risk}\ncharge: {charge}\nhand_over: {hand_over}");
    (state, lines)
}

fn sum(carts: &[Cart], value: impl Fn(&Cart) -> u64) -> f64 {
    carts.iter().map(|cart| value(cart) as f64).sum()
}

/// How often the bank says no to a cart.
fn declines(cart: &Cart) -> u64 {
    if cart.is_flagged() {
        0
    } else {
        u64::from(cart.declines.min(3))
    }
}

fn completes(cart: &Cart) -> u64 {
    u64::from(!cart.is_flagged() && cart.declines < 3)
}

#[test]
fn counters_and_history_agree_with_the_carts() {
    on_every_store(async |builder| {
        let tasker = checkout::handlers(builder).build().unwrap();
        let path = checkout::directory().join("checkout.yaml");
        let template = tasker.load(path, UnknownHandlers::Refuse).unwrap().template;
        let monitor = Monitor::default();
        let subscriptions = monitor.attach(&tasker).await.unwrap();
        let carts = carts(2026, 60);
        for cart in &carts {
            let request =
                TaskRequest::new(Arc::clone(&template)).context(serde_json::to_value(cart).unwrap());
            let report = tasker.run(request).await.unwrap();
            let (state, ran) = expected(cart);
            assert_eq!(report.state, state, "{cart:?}");
            same(&attempts(&tasker, report.task_id).await, &ran, &cart.cart_id);
        }
        for subscription in &subscriptions {
            subscription.caught_up().await.unwrap();
            let delivered = subscription.delivered();
            assert_eq!((delivered.failed, delivered.missed), (0, 0), "{subscription:?}");
        }
        let count = |name: &str| monitor.get(name);
        for channel in ["web", "app", "store"] {
            let here = |cart: &Cart| u64::from(cart.channel == channel);
            assert_eq!(
                count(&format!(
                    "checkouts_total{{channel=\"{channel}\",event=\"opened\"}}"
                )),
                sum(&carts, here)
            );
            assert_eq!(
                count(&format!(
                    "checkouts_total{{channel=\"{channel}\",event=\"completed\"}}"
                )),
                sum(&carts, |cart| here(cart) * completes(cart))
            );
        }
        for method in ["card", "wallet", "transfer"] {
            let by = |cart: &Cart| u64::from(cart.method == method);
            let declined = format!("{{event=\"payment.declined\",method=\"{method}\"}}");
            let captured = format!("{{event=\"payment.captured\",method=\"{method}\"}}");
            assert_eq!(
                count(&format!("payments_total{declined}")),
                sum(&carts, |cart| by(cart) * declines(cart))
            );
            assert_eq!(
                count(&format!("payment_cents_total{captured}")),
                sum(&carts, |cart| by(cart) * completes(cart) * cart.cents)
            );
        }
        let flagged = sum(&carts, |cart| u64::from(cart.is_flagged()));
        assert_eq!(count("fraud_flags_total"), flagged);
        let completed = sum(&carts, completes);
        assert_eq!(count("tasks_total{event=\"task.completed\"}"), completed);
        assert_eq!(count("tasks_total{event=\"task.failed\"}"), 60.0 - completed);
        assert_eq!(
            count("step_attempts_total{step=\"charge\",end=\"fail\"}"),
            sum(&carts, declines)
        );
        assert_eq!(
            count("step_attempts_total{step=\"charge\",end=\"succeed\"}"),
            completed
        );
        let exhausted = sum(&carts, |cart| u64::from(declines(cart) == 3));
        let retries = "retries_total{event=\"observability.step.max_retries_reached\"}";
        assert_eq!(count(retries), exhausted);
        assert_eq!(
            count("retries_total{event=\"observability.step.backoff\"}"),
            sum(&carts, declines) - exhausted
        );
        // The seed makes every case appear.
        assert!(flagged > 0.0 && exhausted > 0.0 && completed > 40.0, "{monitor}");
    });
}
