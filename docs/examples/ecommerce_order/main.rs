//! Takes the orders of a day: `cargo run --example ecommerce_order`.

#![expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]

mod shop;

use std::sync::Arc;

use shop::{Booking, Shop};
use tasker::{Scope, TaskRequest, Tasker, UnknownHandlers};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Shop::open()?;
    // `.data_directory("somewhere")` instead, and the orders survive this program.
    let tasker = shop.handlers(Tasker::builder().memory()).build()?;
    let template = tasker
        .load(shop::directory().join("order.yaml"), UnknownHandlers::Refuse)?
        .template;

    // One worker takes all orders together; each is a task of its own.
    let worker = tasker.worker(Scope::All);
    let (handle, stop) = (worker.handle(), CancellationToken::new());
    let mut finished = handle.finished();
    let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
    let mut open = Vec::new();
    for order in shop::orders()? {
        let key = order["order_id"].as_str().unwrap_or_default().to_owned();
        let request = TaskRequest::new(Arc::clone(&template))
            .context(order)
            .idempotency_key(key)
            .tags(["web"]);
        open.push(tasker.prepare(request)?);
    }
    let tasks: Vec<_> = open.iter().map(|task| task.id).collect();
    handle
        .create(tasker::Actor::User("shop".to_owned()), open)
        .await?;
    for _ in &tasks {
        finished.recv().await?;
    }
    stop.cancel();
    running.await??;

    for task in tasks {
        let Some(report) = tasker.report(task).await? else {
            continue;
        };
        let order = tasker
            .store()
            .snapshot(task)
            .await?
            .map(|found| found.task.idempotency_key);
        let order = order.flatten().unwrap_or_default();
        let tried = report.steps.iter().filter(|step| step.attempts > 1);
        let tried: Vec<_> = tried
            .map(|step| format!("{} {} times", step.name, step.attempts))
            .collect();
        let tried = if tried.is_empty() {
            String::new()
        } else {
            format!(" (tried {})", tried.join(", "))
        };
        match report.result {
            Some(result) => {
                let booking: Booking = serde_json::from_value(result)?;
                println!("{order}  {}, {} cents{tried}", booking.invoice, booking.total);
            }
            None => {
                let failed = report
                    .steps
                    .iter()
                    .find_map(|step| Some((&step.name, step.error.as_ref()?)));
                let why = failed
                    .map(|(step, error)| format!("{step}: {}", error.message))
                    .unwrap_or_default();
                println!("{order}  not booked, {why}{tried}");
            }
        }
    }
    println!(
        "taken: {} cents; mails sent: {}",
        shop.takings(),
        shop.mails().len()
    );
    Ok(())
}
