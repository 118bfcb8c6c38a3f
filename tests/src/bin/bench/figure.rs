//! Figures, and how they are shown.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use serde::{Deserialize, Serialize};

/// Something that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    baseline: Option<Baseline>,
    ratio: Option<f64>,
    target: Option<String>,
    met: Option<bool>,
}

/// What a figure stands beside.
#[derive(Clone, Debug, Serialize)]
struct Baseline {
    name: String,
    value: f64,
}

impl Figure {
    pub(crate) fn new(name: &str, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            value,
            baseline: None,
            ratio: None,
            target: None,
            met: None,
        }
    }

    pub(crate) fn beside(mut self, name: &str, value: f64) -> Self {
        self.ratio = Some(self.value / value);
        self.baseline = Some(Baseline {
            name: name.to_owned(),
            value,
        });
        self
    }

    pub(crate) fn at_least(mut self, ratio: f64) -> Self {
        self.target = Some(format!("at least {ratio}"));
        self.met = self.ratio.map(|own| own >= ratio);
        self
    }

    pub(crate) fn at_most(mut self, ratio: f64) -> Self {
        self.target = Some(format!("at most {ratio}"));
        self.met = self.ratio.map(|own| own <= ratio);
        self
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Shows a figure and keeps it.
    pub(crate) fn add(&mut self, figure: Figure) {
        let mut line = format!("{:32} {:>12.2} {}", figure.name, figure.value, figure.unit);
        if let (Some(baseline), Some(ratio)) = (&figure.baseline, figure.ratio) {
            line.push_str(&format!(
                "  = {ratio:.3} of {:.2} ({})",
                baseline.value, baseline.name
            ));
        }
        if let (Some(target), Some(met)) = (&figure.target, figure.met) {
            line.push_str(&format!("; {target}: {}", if met { "met" } else { "missed" }));
        }
        println!("{line}");
        self.0.push(figure);
    }

    /// Writes all figures to a file, and shows them beside those of another run, if that is wanted.
    pub(crate) fn finish(&self, json: Option<&Path>, against: Option<&Path>) -> anyhow::Result<()> {
        if let Some(path) = json {
            std::fs::write(path, serde_json::to_string_pretty(&self.0)?)
                .with_context(|| format!("`{}` cannot be written", path.display()))?;
        }
        if let Some(path) = against {
            let unreadable = || format!("`{}` does not hold the figures of a run", path.display());
            let before = std::fs::read_to_string(path).with_context(unreadable)?;
            let before: Vec<Earlier> = serde_json::from_str(&before).with_context(unreadable)?;
            self.compare(&before);
        }
        Ok(())
    }

    /// Shows what both runs have. What stands beside a baseline is compared as its ratio, for the machine may have been
    /// faster or slower.
    fn compare(&self, before: &[Earlier]) {
        for now in &self.0 {
            let Some(before) = before.iter().find(|before| before.name == now.name) else {
                continue;
            };
            let (what, was, is) = match (before.ratio, now.ratio) {
                (Some(was), Some(is)) => ("ratio", was, is),
                _ => (now.unit, before.value, now.value),
            };
            println!(
                "{:32} {was:>12.3} then, {is:>12.3} now: {:.2} times ({what})",
                now.name,
                is / was
            );
        }
    }
}

/// A figure of another run.
#[derive(Debug, Deserialize)]
struct Earlier {
    name: String,
    value: f64,
    ratio: Option<f64>,
}

/// Returns the median of times, in milliseconds.
pub(crate) fn median(times: &[Duration]) -> f64 {
    percentile(times, 50)
}

/// Returns a percentile of times, in milliseconds.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times
        .get(times.len() * percent / 100)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}
