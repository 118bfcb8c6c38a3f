//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Problem};
use crate::view::View;

/// Listens from now on, and returns what waits for Ctrl-C or SIGTERM.
pub(crate) fn interruption() -> Result<impl Future<Output = ()>, Problem> {
    let failed = |error| Problem::refused("signals", "signals cannot be received").caused_by(&error);
    let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    })
}

/// What the operator has asked for by signals: first to stop, then to stop at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    /// Cancelled by the first signal.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second. The third ends the process.
    pub(crate) abort: CancellationToken,
}

impl Signals {
    /// Listens from now on; says on the view what a signal begins.
    pub(crate) fn listen(view: &View, grace_seconds: f64) -> Result<Self, Problem> {
        let failed = |error| Problem::refused("signals", "signals cannot be received").caused_by(&error);
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
        let signals = Self::default();
        let told = signals.clone();
        let view = view.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = interrupts.recv() => {}
                    Some(()) = terminations.recv() => {}
                    else => return,
                }
                if !told.stop.is_cancelled() {
                    told.stop.cancel();
                    view.say(&format!(
                        "stopping: what runs may end within {grace_seconds} seconds; press Ctrl-C again to interrupt it now"
                    ));
                } else if !told.abort.is_cancelled() {
                    told.abort.cancel();
                    view.say("interrupting what runs");
                } else {
                    view.close();
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
            }
        });
        Ok(signals)
    }
}
