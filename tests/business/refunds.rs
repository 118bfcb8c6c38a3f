//! Refunds in two teams.

use std::sync::Arc;

use serde_json::json;
use tasker::{
    Demand, Json, LoadOptions, StepNo, TaskId, TaskReport, TaskRequest, TaskState, Tasker, UnknownHandlers,
};

use super::{attempts, on_every_store, same};

#[path = "../../docs/examples/two_team_refunds/teams.rs"]
mod teams;

const OK: &str = "0 start, 0 succeed";

/// The ways of a ticket up to the step that stops it.
fn ticket(check_policy: &str, approve: &str, rest: &str) -> String {
    format!(
        "validate: {OK}\ncheck_policy: {check_policy}\napprove: {approve}\nstart_refund: {rest}\nupdate_ticket: {rest}"
    )
}

fn refund(validate: &str, call_gateway: &str, update_ledger: &str) -> String {
    format!("validate: {validate}\ncall_gateway: {call_gateway}\nupdate_ledger: {update_ledger}")
}

async fn child_of(tasker: &Tasker, report: &TaskReport) -> TaskReport {
    let child: TaskId =
        serde_json::from_value(report.result.as_ref().unwrap()["refund_task"].clone()).unwrap();
    let record = tasker.store().snapshot(child).await.unwrap().unwrap().task;
    assert_eq!(record.parent, Some((report.task_id, StepNo(3))));
    assert_eq!(record.root, Some(report.task_id));
    assert_eq!(record.template.full_name(), "payments.process_refund@2.1.0");
    tasker.resume(child).await.unwrap()
}

#[test]
fn every_ticket_runs_as_its_readme_says() {
    on_every_store(async |builder| {
        let books = teams::Payments::open().unwrap();
        let config = tasker::config::Config::default();
        let payments = teams::payments_template(&LoadOptions::new(config.limits())).unwrap();
        let tasker = teams::customer_success(books.handlers(builder), payments)
            .build()
            .unwrap();
        let path = teams::directory().join("customer_success.yaml");
        let template = tasker.load(path, UnknownHandlers::Refuse).unwrap().template;
        assert_eq!(template.full_name(), "customer_success.process_refund@1.3.0");
        let mut reports = Vec::new();
        for ticket in teams::tickets().unwrap() {
            let request = TaskRequest::new(Arc::clone(&template))
                .context(serde_json::to_value(&ticket).unwrap())
                .idempotency_key(&ticket.ticket_id);
            reports.push(tasker.run(request).await.unwrap());
        }
        let ran = async |report: &TaskReport| attempts(&tasker, report.task_id).await;
        let paid = refund(OK, OK, OK);

        same(&ran(&reports[0]).await, &ticket(OK, OK, OK), "T-301");
        let child = child_of(&tasker, &reports[0]).await;
        same(&ran(&child).await, &paid, "T-301");
        assert_eq!(
            child.result,
            Some(json!({ "gateway_id": "re_p-501", "refunded": 4950, "left": 7950 }))
        );

        let stopped = ticket(OK, "0 start, 0 fail needs_manager", "");
        same(&ran(&reports[1]).await, &stopped, "T-302");
        assert_eq!(reports[1].state, TaskState::Error);
        let approval = Json::from(&json!({ "approved_by": "a manager" }));
        let task = reports[1].task_id;
        let approve = Demand::ResolveStep(StepNo(2), Some(approval));
        tasker.intervene(task, approve).await.unwrap();
        let report = tasker.resume(task).await.unwrap();
        let went_on = ticket(OK, "0 start, 0 fail needs_manager, 0 resolve", OK);
        same(&ran(&report).await, &went_on, "T-302");
        assert_eq!(report.result.as_ref().unwrap()["approved_by"], "a manager");
        same(&ran(&child_of(&tasker, &report).await).await, &paid, "T-302");

        same(&ran(&reports[2]).await, &ticket(OK, OK, OK), "T-303");
        let child = child_of(&tasker, &reports[2]).await;
        let late = refund(
            OK,
            "0 start, 0 fail HTTP_503, 1 start, 1 succeed",
            "1 start, 1 succeed",
        );
        same(&ran(&child).await, &late, "T-303");

        let refused = ticket("0 start, 0 fail outside_policy", "", "");
        same(&ran(&reports[3]).await, &refused, "T-304");
        assert_eq!(reports[3].state, TaskState::Error);

        same(&ran(&reports[4]).await, &ticket(OK, OK, OK), "T-305");
        let child = child_of(&tasker, &reports[4]).await;
        let too_much = refund("0 start, 0 fail refund_exceeds_payment", "", "");
        same(&ran(&child).await, &too_much, "T-305");
        assert_eq!(child.state, TaskState::Error);

        assert_eq!(books.given_back(), 4950 + 32_900 + 8900);
        // Five tickets, and four tasks of the payments team: none for the ticket that was refused.
        let created = tasker
            .store()
            .events(tasker::Position(0), u32::MAX)
            .await
            .unwrap();
        let created = created
            .iter()
            .filter(|entry| entry.change == tasker::Change::Created);
        assert_eq!(created.count(), 9);
    });
}
