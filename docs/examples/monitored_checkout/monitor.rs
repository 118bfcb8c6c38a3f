//! Counters that events drive. The checkout knows nothing of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tasker::{CustomPayload, EventSubscription, HandlingPayload, SubscribeError, Tasker};

/// The counters: names with labels, as Prometheus writes them, and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Monitor(Arc<Mutex<BTreeMap<String, f64>>>);

impl Monitor {
    /// Has the counters follow what happens, as long as the subscriptions are kept.
    pub(crate) async fn attach(&self, tasker: &Tasker) -> Result<Vec<EventSubscription>, SubscribeError> {
        let funnel = self.clone();
        let funnel = tasker.subscribe("checkout.*", move |event| {
            let said: CustomPayload = event.read()?;
            let channel = said.data["channel"].as_str().unwrap_or("unknown");
            let event = event.name.trim_start_matches("checkout.");
            funnel.add(
                &format!("checkouts_total{{channel=\"{channel}\",event=\"{event}\"}}"),
                1.0,
            );
            Ok(())
        });
        let money = self.clone();
        let money = tasker.subscribe("payment.*", move |event| {
            let said: CustomPayload = event.read()?;
            let method = said.data["method"].as_str().unwrap_or("unknown");
            let labels = format!("{{event=\"{}\",method=\"{method}\"}}", event.name);
            money.add(&format!("payments_total{labels}"), 1.0);
            money.add(
                &format!("payment_cents_total{labels}"),
                said.data["cents"].as_f64().unwrap_or(0.0),
            );
            Ok(())
        });
        let fraud = self.clone();
        let fraud = tasker.subscribe("fraud.flagged", move |_| {
            fraud.add("fraud_flags_total", 1.0);
            Ok(())
        });
        let tasks = self.clone();
        let tasks = tasker.subscribe("task.*", move |event| {
            tasks.add(&format!("tasks_total{{event=\"{}\"}}", event.name), 1.0);
            Ok(())
        });
        let steps = self.clone();
        let steps = tasker.subscribe("step.handle", move |event| {
            let handled: HandlingPayload = event.read()?;
            let end = handled.end.unwrap_or_default();
            let step = handled.step;
            steps.add(
                &format!("step_attempts_total{{step=\"{step}\",end=\"{end}\"}}"),
                1.0,
            );
            steps.add(
                &format!("step_seconds_total{{step=\"{step}\"}}"),
                handled.ran_seconds.unwrap_or(0.0),
            );
            Ok(())
        });
        let waits = self.clone();
        let waits = tasker.subscribe("observability.step.*", move |event| {
            waits.add(&format!("retries_total{{event=\"{}\"}}", event.name), 1.0);
            Ok(())
        });
        Ok(vec![
            funnel.await?,
            money.await?,
            fraud.await?,
            tasks.await?,
            steps.await?,
            waits.await?,
        ])
    }

    /// Returns a counter.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.counters().get(name).copied().unwrap_or(0.0)
    }

    fn add(&self, name: &str, value: f64) {
        *self.counters().entry(name.to_owned()).or_default() += value;
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<String, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &*self.counters() {
            let value = (value * 1_000.0).round() / 1_000.0;
            writeln!(f, "{name} {value}")?;
        }
        Ok(())
    }
}
