//! Works through the tickets of a day: `cargo run --example two_team_refunds`.

#![expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]

mod teams;

use std::sync::Arc;

use serde_json::json;
use tasker::{
    Demand, Json, LoadOptions, StepState, TaskId, TaskReport, TaskRequest, TaskState, Tasker, UnknownHandlers,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let books = teams::Payments::open()?;
    let config = tasker::config::Config::default();
    let payments = teams::payments_template(&LoadOptions::new(config.limits()))?;
    let builder = books.handlers(Tasker::builder().memory());
    let tasker = teams::customer_success(builder, payments).build()?;
    let template = tasker
        .load(
            teams::directory().join("customer_success.yaml"),
            UnknownHandlers::Refuse,
        )?
        .template;

    for ticket in teams::tickets()? {
        let request = TaskRequest::new(Arc::clone(&template))
            .context(serde_json::to_value(&ticket)?)
            .idempotency_key(&ticket.ticket_id);
        let mut report = tasker.run(request).await?;
        if needs_manager(&report) {
            // A manager looks at it and says yes, which is the result of the step.
            let step = template
                .step_named("approve")
                .ok_or("the template has no step `approve`")?
                .0;
            let approval = Json::of(&teams::Approval {
                approved_by: "manager M. Okafor".to_owned(),
            })?;
            tasker
                .intervene(report.task_id, Demand::ResolveStep(step, Some(approval)))
                .await?;
            report = tasker.resume(report.task_id).await?;
        }
        println!("{}  {}", ticket.ticket_id, told(&report));
        if let Some(refund) = refund_of(&report)? {
            // The payments team's workers would do this; here it is the same program.
            let refund = tasker.resume(refund).await?;
            println!("       {}", told(&refund));
        }
    }
    println!("given back: {} cents", books.given_back());
    Ok(())
}

fn needs_manager(report: &TaskReport) -> bool {
    report.steps.iter().any(|step| {
        step.state == StepState::Error
            && step
                .error
                .as_ref()
                .is_some_and(|error| error.code == "needs_manager")
    })
}

/// Returns the task of the payments team that a ticket led to.
fn refund_of(report: &TaskReport) -> Result<Option<TaskId>, serde_json::Error> {
    let refund = report.result.as_ref().map(|result| result["refund_task"].clone());
    refund.map(serde_json::from_value).transpose()
}

fn told(report: &TaskReport) -> String {
    let attempts: u32 = report.steps.iter().map(|step| step.attempts).sum();
    if report.state == TaskState::Complete {
        let result = report.result.clone().unwrap_or_else(|| json!(null));
        return format!("{} is complete after {attempts} attempts: {result}", report.name);
    }
    let failed = report
        .steps
        .iter()
        .find_map(|step| Some((&step.name, step.error.as_ref()?)));
    let why = failed.map(|(step, error)| format!("{step}: {}", error.message));
    format!(
        "{} is in {}: {}",
        report.name,
        report.state,
        why.unwrap_or_default()
    )
}
