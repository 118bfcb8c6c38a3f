//! Replays a history through the transition tables.

use tasker_types::{Position, RunNo, StepNo, StepState, TaskState};

use super::{Fault, Findings};
use crate::failure::{Failure, Severity};
use crate::record::{Change, TaskRecord, Transition};
use crate::template::Template;
use crate::transition::{AttemptsLeft, Situation, StepEvent, TaskEvent, step_transition, task_transition};

/// What a history amounts to.
pub(super) struct Replayed {
    pub(super) state: TaskState,
    /// The last transition of the task itself.
    pub(super) last: Option<Position>,
    pub(super) steps: Vec<ReplayedStep>,
}

/// What a history amounts to for one step.
pub(super) struct ReplayedStep {
    pub(super) state: StepState,
    pub(super) attempts: u32,
    pub(super) run: RunNo,
    pub(super) retry_limit: u32,
    /// `None` when the history does not say.
    pub(super) permanent: Option<bool>,
    /// The last transition.
    pub(super) last: Option<Position>,
    /// The claim that has not ended.
    open: Option<(RunNo, Position)>,
    /// The claim that ended last.
    ended: Option<(RunNo, Position)>,
    /// The claim whose end was reported late.
    late: Option<(RunNo, Position)>,
}

/// A step's entry in the history.
struct StepEntry {
    step: StepNo,
    from: StepState,
    event: StepEvent,
    to: StepState,
    run: RunNo,
    attempt: u32,
}

/// Replays a history; what breaks a rule is noted and then taken as it is, so that one mistake is told once.
pub(super) fn replay(task: &TaskRecord, history: &[Transition], findings: &mut Findings) -> Replayed {
    let template = &*task.template;
    let steps = template.steps().iter().map(|step| ReplayedStep {
        state: StepState::Pending,
        attempts: 0,
        run: RunNo(0),
        retry_limit: step.retry_limit(),
        permanent: Some(false),
        last: None,
        open: None,
        ended: None,
        late: None,
    });
    let mut replayed = Replayed {
        state: TaskState::Pending,
        last: None,
        steps: steps.collect(),
    };
    let mut before: Option<Position> = None;
    for entry in history {
        if entry.task != task.id {
            findings.add(None, [entry.position], Fault::ForeignEntry);
            continue;
        }
        if let Some(before) = before.filter(|before| *before >= entry.position) {
            findings.add(None, [before, entry.position], Fault::PositionsDoNotAscend);
        }
        if before.is_none() && entry.change != Change::Created {
            findings.add(None, [entry.position], Fault::NotCreatedFirst);
        } else if before.is_some() && entry.change == Change::Created {
            findings.add(None, [entry.position], Fault::CreatedTwice);
        }
        before = Some(entry.position);
        replayed.take(template, entry, findings);
    }
    if before.is_none() {
        findings.add(None, [], Fault::NotCreatedFirst);
    }
    replayed
}

impl Replayed {
    fn take(&mut self, template: &Template, entry: &Transition, findings: &mut Findings) {
        let at = entry.position;
        let named = match &entry.change {
            Change::Step { step, .. } | Change::LateOutcome { step, .. } => Some(*step),
            Change::Setting { step } => *step,
            Change::Created | Change::Task { .. } => None,
        };
        if let Some(step) = named.filter(|step| step.0 as usize >= self.steps.len()) {
            findings.add(Some(step), [at], Fault::UnknownStep);
            return;
        }
        match &entry.change {
            Change::Created | Change::Setting { step: None } => {}
            Change::Task { from, event, to } => self.take_task(at, *from, *event, *to, findings),
            Change::Step {
                step,
                from,
                event,
                to,
                run,
                attempt,
                ..
            } => {
                let parts = StepEntry {
                    step: *step,
                    from: *from,
                    event: *event,
                    to: *to,
                    run: *run,
                    attempt: *attempt,
                };
                self.take_step(template, entry, &parts, findings);
            }
            Change::LateOutcome { step, run } => self.take_late(at, *step, *run, findings),
            Change::Setting { step: Some(step) } => {
                let limit = entry
                    .metadata
                    .as_ref()
                    .and_then(|metadata| metadata.to_value()["retry_limit"].as_u64());
                if let Some(limit) = limit {
                    self.step_mut(*step).retry_limit = u32::try_from(limit).unwrap_or(u32::MAX);
                }
            }
        }
    }

    fn step_mut(&mut self, step: StepNo) -> &mut ReplayedStep {
        &mut self.steps[step.0 as usize]
    }

    fn take_task(
        &mut self,
        at: Position,
        from: TaskState,
        event: TaskEvent,
        to: TaskState,
        findings: &mut Findings,
    ) {
        if from != self.state {
            let positions = self.last.into_iter().chain([at]);
            findings.add(
                None,
                positions,
                Fault::BrokenChain {
                    was: self.state.as_str(),
                    from: from.as_str(),
                },
            );
        }
        if task_transition(from, event) != Ok(to) {
            findings.add(None, [at], Fault::IllegalTask { from, event, to });
        }
        if to == TaskState::Complete {
            let undone = self
                .steps
                .iter()
                .zip(0..)
                .filter(|(step, _)| !step.state.is_done());
            let unfinished: Vec<_> = undone.map(|(_, number)| StepNo(number)).collect();
            if !unfinished.is_empty() {
                findings.add(None, [at], Fault::CompletedTooEarly { unfinished });
            }
        }
        self.state = to;
        self.last = Some(at);
    }

    fn take_step(
        &mut self,
        template: &Template,
        entry: &Transition,
        parts: &StepEntry,
        findings: &mut Findings,
    ) {
        let at = entry.position;
        let StepEntry {
            step,
            from,
            event,
            to,
            ..
        } = *parts;
        let retryable = template.step(step).retryable();
        let was = &self.steps[step.0 as usize];
        if from != was.state {
            let positions = was.last.into_iter().chain([at]);
            let fault = Fault::BrokenChain {
                was: was.state.as_str(),
                from: from.as_str(),
            };
            findings.add(Some(step), positions, fault);
        }
        let left = was.attempts < was.retry_limit && retryable;
        let attempts = if left {
            AttemptsLeft::Some
        } else {
            AttemptsLeft::None
        };
        if step_transition(
            from,
            event,
            Situation {
                task: self.state,
                attempts,
            },
        ) != Ok(to)
        {
            findings.add(Some(step), [at], Fault::IllegalStep { from, event, to });
        }
        if event == StepEvent::Start {
            self.check_start(template, at, step, findings);
        }
        self.count(at, parts, findings);
        self.follow_claim(at, parts, findings);
        let now = self.step_mut(step);
        now.permanent = match event {
            StepEvent::Fail => entry
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.to::<Failure>().ok())
                .map(|failure| failure.severity == Severity::Permanent),
            StepEvent::Expire | StepEvent::Reset => Some(false),
            _ => now.permanent,
        };
        now.state = to;
        now.last = Some(at);
    }

    /// Checks that a step may be started: its task, its parents, its attempts.
    fn check_start(&self, template: &Template, at: Position, step: StepNo, findings: &mut Findings) {
        let was = &self.steps[step.0 as usize];
        if self.state != TaskState::InProgress {
            let positions = self.last.into_iter().chain([at]);
            findings.add(
                Some(step),
                positions,
                Fault::StartedOutsideTask { state: self.state },
            );
        }
        for parent in template.step(step).depends_on() {
            let other = &self.steps[parent.0 as usize];
            if !other.state.is_done() {
                let positions = other.last.into_iter().chain([at]);
                let fault = Fault::StartedBeforeParent {
                    parent: *parent,
                    state: other.state,
                };
                findings.add(Some(step), positions, fault);
            }
        }
        let limit = if template.step(step).retryable() {
            was.retry_limit
        } else {
            was.retry_limit.min(1)
        };
        let attempt = was.attempts.saturating_add(1);
        if attempt > limit {
            findings.add(Some(step), [at], Fault::TooManyAttempts { attempt, limit });
        }
        if was.permanent == Some(true) {
            let positions = was.last.into_iter().chain([at]);
            findings.add(Some(step), positions, Fault::StartedAfterPermanentFailure);
        }
    }

    /// Counts claims and attempts as the event says, and compares the entry with them.
    fn count(&mut self, at: Position, parts: &StepEntry, findings: &mut Findings) {
        let now = self.step_mut(parts.step);
        let (run, attempts) = match parts.event {
            StepEvent::Start => (RunNo(now.run.0.saturating_add(1)), now.attempts.saturating_add(1)),
            StepEvent::Release | StepEvent::Suspend => (now.run, now.attempts.saturating_sub(1)),
            StepEvent::Reset => (now.run, 0),
            _ => (now.run, now.attempts),
        };
        if parts.run != run {
            findings.add(
                Some(parts.step),
                [at],
                Fault::RunDiffers {
                    expected: run,
                    found: parts.run,
                },
            );
        }
        if parts.attempt != attempts {
            let fault = Fault::AttemptDiffers {
                expected: attempts,
                found: parts.attempt,
            };
            findings.add(Some(parts.step), [at], fault);
        }
        (now.run, now.attempts) = (parts.run, parts.attempt);
    }

    /// Follows the claims of a step: each begins when none is open, and ends once.
    fn follow_claim(&mut self, at: Position, parts: &StepEntry, findings: &mut Findings) {
        let run = parts.run;
        let now = self.step_mut(parts.step);
        if parts.event == StepEvent::Start {
            if let Some((earlier, start)) = now.open.replace((run, at)) {
                findings.add(
                    Some(parts.step),
                    [start, at],
                    Fault::LeasesOverlap { run: earlier },
                );
            }
            return;
        }
        if parts.from != StepState::InProgress {
            return;
        }
        match (now.open.take(), now.ended) {
            (Some((open, _)), _) if open == run => {}
            (_, Some((ended, end))) if ended == run => {
                findings.add(Some(parts.step), [end, at], Fault::RecordedTwice { run });
            }
            _ => findings.add(Some(parts.step), [at], Fault::EndedWithoutStart { run }),
        }
        now.ended = Some((run, at));
    }

    fn take_late(&mut self, at: Position, step: StepNo, run: RunNo, findings: &mut Findings) {
        let now = self.step_mut(step);
        if now.state != StepState::Cancelled || now.run != run || run == RunNo(0) {
            findings.add(Some(step), [at], Fault::LateWithoutCancel { run });
        }
        if let Some((late, noted)) = now.late.replace((run, at))
            && late == run
        {
            findings.add(Some(step), [noted, at], Fault::RecordedTwice { run });
        }
    }
}
