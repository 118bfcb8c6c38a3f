//! Checks out the carts of an hour and shows the counters: `cargo run --example monitored_checkout`.

#![expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]

mod checkout;
mod monitor;

use std::sync::Arc;

use monitor::Monitor;
use tasker::{Scope, TaskRequest, Tasker, UnknownHandlers};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasker = checkout::handlers(Tasker::builder().memory()).build()?;
    let template = tasker
        .load(
            checkout::directory().join("checkout.yaml"),
            UnknownHandlers::Refuse,
        )?
        .template;
    let monitor = Monitor::default();
    let subscriptions = monitor.attach(&tasker).await?;

    let worker = tasker.worker(Scope::All);
    let (handle, stop) = (worker.handle(), CancellationToken::new());
    let mut finished = handle.finished();
    let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
    let carts = checkout::carts(2026, 60);
    let tasks = carts.iter().map(|cart| {
        let request = TaskRequest::new(Arc::clone(&template)).context(serde_json::to_value(cart)?);
        Ok(tasker.prepare(request.idempotency_key(&cart.cart_id))?)
    });
    let tasks = tasks.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
    handle
        .create(tasker::Actor::User("till".to_owned()), tasks)
        .await?;
    for _ in &carts {
        finished.recv().await?;
    }
    stop.cancel();
    running.await??;

    // What was committed a moment ago is counted, too.
    for subscription in &subscriptions {
        subscription.caught_up().await?;
    }
    println!("{monitor}");
    let captured = ["card", "wallet", "transfer"].map(|method| {
        monitor.get(&format!(
            "payment_cents_total{{event=\"payment.captured\",method=\"{method}\"}}"
        ))
    });
    println!(
        "{} carts, {} cents taken",
        carts.len(),
        captured.iter().sum::<f64>()
    );
    Ok(())
}
