//! What the tests build on.

use std::sync::Arc;

use tasker::{
    SeededEntropy, StepBuilder, StepContext, StepError, TaskReport, Tasker, TaskerBuilder, Template,
    Timestamp, TokioClock, handler,
};

/// 2026-01-01.
const BEGIN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// A builder whose clock is tokio's and whose randomness follows from a seed.
pub(crate) fn builder() -> TaskerBuilder {
    let ok = handler(async || Ok::<_, StepError>("ok"));
    let fails = handler(async || Err::<(), _>(StepError::permanent("closed", "the account is closed")));
    let flaky = handler(async |ctx: StepContext| match ctx.attempt() {
        1 => Err(StepError::retryable("no route")),
        attempt => Ok(attempt),
    });
    Tasker::builder()
        .memory()
        .clock(Arc::new(TokioClock::starting_at(BEGIN)))
        .entropy(Arc::new(SeededEntropy::new(1)))
        .handler("ok", ok)
        .handler("fails", fails)
        .handler("flaky", flaky)
}

/// A template whose steps run one after the other; each is named like its handler.
pub(crate) fn chain(name: &str, handlers: &[&str]) -> Arc<Template> {
    let mut template = Template::builder(name);
    for (index, handler) in handlers.iter().enumerate() {
        let step = StepBuilder::new(format!("{handler}_{index}"), *handler);
        let parent = index
            .checked_sub(1)
            .map(|parent| format!("{}_{parent}", handlers[parent]));
        template = template.step(step.depends_on(parent));
    }
    template.build().unwrap()
}

/// The states and attempts of the steps.
pub(crate) fn steps(report: &TaskReport) -> Vec<(&str, &str, u32)> {
    report
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.state.as_str(), step.attempts))
        .collect()
}
