//! The picture of a task in the midst of its failures.

use std::time::Duration;

use tasker_engine::{StepContext, StepError, handler};
use tasker_testkit::shapes;
use tasker_types::GraphWeights;
use tests::{StoreKind, Workshop};

/// Runs the mixed workflow in virtual time and draws it after four and a half seconds, when one step has failed once
/// and is done, and another waits for its next attempt.
pub(crate) fn mixed() -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let workshop = Workshop::open(
            StoreKind::Memory,
            handler(async |ctx: StepContext| {
                let (seconds, fails) = match ctx.step_name().as_str() {
                    "validate_permissions" => (1, ctx.attempt() == 1),
                    "setup_environment" => (3, ctx.attempt() <= 2),
                    _ => (1, false),
                };
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if fails {
                    Err(StepError::retryable("not yet"))
                } else {
                    Ok(())
                }
            }),
        );
        let task = workshop.create(shapes::mixed()).await?;
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        let snapshot = workshop.store.snapshot(task).await?;
        let snapshot = snapshot.ok_or(tasker_engine::StoreError::UnknownTask { task })?;
        let picture = snapshot
            .analyze(&GraphWeights::default())?
            .to_svg("mixed, while steps fail");
        workshop.end(task).await?;
        workshop.close().await?;
        Ok(picture)
    })
}
