//! Lists of tasks: every task is looked at.

use tasker_types::StepState;

use super::state::{State, TaskRow};
use crate::list::{Listed, SortOrder, TaskMark, TaskPage, TaskQuery, TaskSummary};

impl State {
    pub(super) fn list(&self, query: &TaskQuery) -> TaskPage {
        let mut found: Vec<(TaskMark, &TaskRow)> = Vec::new();
        for (key, row) in &self.tasks {
            let (record, version) = (&row.record, row.record.template.version().to_string());
            let listed = Listed {
                id: record.id,
                state: record.state,
                namespace: record.template.namespace().as_str(),
                name: record.template.name().as_str(),
                version: &version,
                origin: &record.origin,
                priority: record.priority,
                created_at: record.created_at,
                updated_at: record.updated_at,
            };
            if query.filter.passes(&listed, || Some(record.context.clone())) {
                found.push((listed.mark(query.sort, *key), row));
            }
        }
        let total = query.count.then_some(found.len() as u64);
        found.sort_unstable_by_key(|(mark, _)| *mark);
        if query.order == SortOrder::Descending {
            found.reverse();
        }
        found.retain(|(mark, _)| query.after.is_none_or(|after| mark.follows(after, query.order)));
        let limit = query.limit as usize;
        let next = match found.len() > limit {
            true => limit
                .checked_sub(1)
                .map_or(query.after, |last| Some(found[last].0)),
            false => None,
        };
        TaskPage {
            tasks: found.iter().take(limit).map(|(_, row)| summary(row)).collect(),
            next,
            total,
        }
    }
}

fn summary(row: &TaskRow) -> TaskSummary {
    let record = &row.record;
    let done = row
        .steps
        .iter()
        .filter(|step| StepState::is_done(step.record.state));
    TaskSummary {
        task_id: record.id,
        name: record.template.full_name(),
        state: record.state,
        failure: record.failure,
        priority: record.priority,
        tags: record.origin.tags.clone(),
        completed_steps: done.count() as u64,
        total_steps: row.steps.len() as u64,
        created_at: record.created_at,
        updated_at: record.updated_at,
        started_at: record.started_at,
        finished_at: record.finished_at,
    }
}
