//! A workshop of the test kit on any kind of store.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::json;
use tasker_engine::{Json, NewTask, Snapshot, StepHandler, StoreError, Template};
use tasker_testkit::{TaskView, Workshop as Kit};
use tasker_types::TaskId;

use crate::stores::StoreKind;

/// A worker that runs in the background on a store of its own, without jitter. It wants a runtime whose clock stands.
#[derive(Debug)]
pub struct Workshop(Kit);

impl Workshop {
    /// Opens a store and starts a worker that runs every step by this handler, which is called `any`.
    pub fn open(kind: StoreKind, handler: Arc<dyn StepHandler>) -> Self {
        let open = move |clock| {
            let opened = kind.open(clock);
            (Arc::clone(&opened.store), opened)
        };
        Self(Kit::builder().handler("any", handler).store(open).open())
    }

    /// Creates a task with the context `{"order": 7}`.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn create(&self, template: Arc<Template>) -> Result<TaskId, StoreError> {
        let context = Json::from(&json!({ "order": 7 }));
        self.0
            .create_task(NewTask::new(self.0.new_id(), template, context))
            .await
    }

    /// Waits until a task is neither pending nor in progress.
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::UnknownTask`] for an unknown task.
    pub async fn end(&self, task: TaskId) -> Result<Snapshot, StoreError> {
        self.0.end(task).await;
        let snapshot = self.0.store.snapshot(task).await?;
        snapshot.ok_or(StoreError::UnknownTask { task })
    }

    /// Returns what happened to each step and when; see [`TaskView::timeline`].
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::UnknownTask`] for an unknown task.
    pub async fn timeline(&self, task: TaskId) -> Result<String, StoreError> {
        let view = TaskView::of(&*self.0.store, task).await?;
        Ok(view.ok_or(StoreError::UnknownTask { task })?.timeline())
    }

    /// Stops the worker and verifies all histories.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn close(self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

impl Deref for Workshop {
    type Target = Kit;

    fn deref(&self) -> &Kit {
        &self.0
    }
}
