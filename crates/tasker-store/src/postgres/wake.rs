//! Telling other processes that there may be work, and being told.
//!
//! A hint is sent by a connection of its own, outside of any transaction that writes, and not too often: the server lets
//! only one commit at a time through that sends one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connection::Connection;
use super::writer::Desk;

/// How many hints a process sends in [`WINDOW`] at most. A few follow one another at once, so that a chain of steps that
/// goes back and forth between processes is not held up; many are paced.
const HINTS: usize = 16;
const WINDOW: Duration = Duration::from_millis(160);

/// How long to wait before a connection is tried again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that tell and are told.
#[derive(Debug)]
pub(super) struct Listener {
    tasks: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Begins to listen and to tell.
    pub(super) fn start(desk: &Arc<Desk>) -> Self {
        let tasks = vec![
            tokio::spawn(listen(Arc::clone(desk))),
            tokio::spawn(tell(Arc::clone(desk))),
        ];
        Self { tasks }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Passes hints of other processes on.
async fn listen(desk: Arc<Desk>) {
    loop {
        if let Ok(mut connection) = desk.target.connect().await
            && connection
                .batch_execute(&format!("LISTEN {}", quoted(&channel(&desk))))
                .await
                .is_ok()
        {
            // While nobody listened, something may have been told.
            desk.wake.send_modify(|count| *count += 1);
            let Some(hints) = connection.hints() else { return };
            let mut hints = std::pin::pin!(hints);
            while let Some(Ok(hint)) = hints.next().await {
                if hint.payload != desk.nonce {
                    desk.wake.send_modify(|count| *count += 1);
                }
            }
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Tells other processes, several occasions at once.
async fn tell(desk: Arc<Desk>) {
    let text = format!("NOTIFY {}, '{}'", quoted(&channel(&desk)), desk.nonce);
    let mut connection: Option<Connection<'static>> = None;
    let mut sent = VecDeque::with_capacity(HINTS);
    loop {
        desk.hint.notified().await;
        if connection.is_none() {
            connection = desk.target.connect().await.ok();
        }
        let told = match &connection {
            Some(connection) => connection.batch_execute(&text).await.is_ok(),
            None => false,
        };
        if !told {
            connection = None;
            tokio::time::sleep(PATIENCE).await;
            continue;
        }
        sent.push_back(Instant::now());
        if sent.len() == HINTS
            && let Some(first) = sent.pop_front()
        {
            tokio::time::sleep_until(first + WINDOW).await;
        }
    }
}

/// How many bytes a name may have.
const NAME: usize = 63;

/// Returns the name under which the processes that share these tables tell one another.
pub(super) fn channel(desk: &Desk) -> String {
    let mut name = format!("tasker wake {}", desk.target.schema().unwrap_or_default());
    name.truncate(name.floor_char_boundary(NAME));
    name
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
