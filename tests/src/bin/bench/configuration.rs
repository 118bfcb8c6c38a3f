//! How long it takes to load the configuration.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tasker_config::{Config, Environment, Loader};

use crate::figure::{Figure, Figures, median};

/// The longest that loading may take, in milliseconds.
const LIMIT: f64 = 5.0;

/// How often each load is measured.
const RUNS: usize = 200;

/// How many faults the bad file has.
const FAULTS: usize = 200;

/// Measures loading nothing but defaults, every key from a file and from the environment, and a file full of faults.
pub(crate) fn bench(figures: &mut Figures) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let defaults = Loader::new().search_in(place.path());
    figures.add(load("config_defaults_p50", &defaults, 0)?);

    let good = place.path().join("good.toml");
    std::fs::write(&good, every_key("") + &every_key("profiles.bench."))?;
    let whole = Loader::new()
        .file(&good)
        .profile("bench")
        .environment(&every_variable());
    figures.add(load("config_every_key_three_layers_p50", &whole, 0)?);

    let bad = place.path().join("bad.toml");
    let mut text = "[execution]\n".to_owned();
    for key in 0..FAULTS {
        writeln!(text, "lease_second{key} = {key}")?;
    }
    std::fs::write(&bad, text)?;
    figures.add(load("config_200_faults_p50", &Loader::new().file(&bad), FAULTS)?);
    Ok(())
}

/// Measures a loader that must find so many faults.
fn load(name: &str, loader: &Loader, faults: usize) -> anyhow::Result<Figure> {
    let times = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let loaded = loader.load();
            let time = start.elapsed();
            let found = loaded.err().map_or(0, |faults| faults.as_slice().len());
            ensure!(found == faults, "{name} has {found} faults instead of {faults}");
            Ok(time)
        })
        .collect::<anyhow::Result<Vec<Duration>>>()?;
    Ok(Figure::new(name, "ms", median(&times))
        .beside("the limit", LIMIT)
        .at_most(1.0))
}

/// Returns a file with every key that has a default; the prefix stands before the sections.
fn every_key(prefix: &str) -> String {
    let entries = Config::default().entries();
    let lines = entries.iter().filter_map(|entry| {
        let literal = entry.literal()?;
        Some(format!(
            "{prefix}{}.{} = {literal}\n",
            entry.section(),
            entry.key()
        ))
    });
    lines.collect()
}

/// Returns an environment with every key that has a default.
fn every_variable() -> Environment {
    let keys = tasker_config::reference()
        .into_iter()
        .flat_map(|section| section.keys);
    keys.filter_map(|key| Some((key.variable, key.default?)))
        .collect()
}
