//! Registers some users: `cargo run --example user_registration`.

#![expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]

mod services;

use std::sync::Arc;

use services::Services;
use tasker::{TaskRequest, Tasker, UnknownHandlers};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let services = Services::start().await?;
    let tasker = Tasker::builder().memory().build()?;
    let template = tasker
        .load(
            services::directory().join("registration.yaml"),
            UnknownHandlers::Refuse,
        )?
        .template;
    let mut running = JoinSet::new();
    for mut user in services::users()? {
        user["services"] = services.url().into();
        let email = user["email"].as_str().unwrap_or_default().to_owned();
        let request = TaskRequest::new(Arc::clone(&template))
            .context(user)
            .idempotency_key(email.as_str());
        let tasker = tasker.clone();
        running.spawn(async move { (email, tasker.run(request).await) });
    }
    while let Some(registered) = running.join_next().await {
        let (email, report) = registered?;
        let report = report?;
        println!("{email}: {}", report.state);
        for step in &report.steps {
            println!("  {:16} {}, attempts: {}", step.name, step.state, step.attempts);
        }
    }
    println!("\nwhat the services saw:");
    for exchange in services.log() {
        println!("  {:32} answered with {}", exchange.request, exchange.answer);
    }
    println!("active: {}", services.active().join(", "));
    Ok(())
}
