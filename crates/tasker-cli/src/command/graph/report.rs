//! An analysis as a person reads it.

use std::time::Duration;

use tasker_graph::{Analysis, Arrival, Forecast, WhatIf};

use crate::output::Table;
use crate::view::terminal::Layout;
use crate::view::text::{counted, duration, printable};

/// How many steps of a path, and how many rows of a table, are written.
const SHOWN: usize = 10;

/// Writes an analysis, and a forecast if there is one.
pub(super) fn text(title: &str, analysis: &Analysis, times: Option<&Forecast<'_>>, layout: Layout) -> String {
    let mut text = head(title, analysis);
    text.push_str(&bottlenecks(analysis, layout));
    text.push_str(&errors(analysis, layout));
    text.push_str(&paths(analysis, layout));
    text.push_str(&levels(analysis, layout));
    if let Some(times) = times {
        text.push_str("\nwhen it will be done\n");
        text.push_str(&forecast(analysis, times, layout));
    }
    text
}

fn head(title: &str, analysis: &Analysis) -> String {
    let (context, summary) = (analysis.context(), analysis.summary());
    let mut text = format!("{}\n", printable(title));
    let mut row = |name: &str, value: String| text.push_str(&format!("{name:12} {value}\n"));
    row(
        "state",
        format!("{}, {}", analysis.task_state(), context.execution_status),
    );
    row(
        "progress",
        format!(
            "{} %, {} of {}",
            context.completion_percentage,
            context.completed_steps,
            counted(context.total_steps, "step")
        ),
    );
    row(
        "health",
        format!(
            "{}, {} overall; bottlenecks: {}",
            context.health_status,
            summary.overall_health,
            analysis.bottlenecks().overall_impact
        ),
    );
    row(
        "graph",
        format!(
            "{} on {}, at most {} side by side",
            counted(summary.total_dependencies as u64, "edge"),
            counted(summary.dependency_levels as u64, "level"),
            analysis.parallelism().max_parallel_steps
        ),
    );
    for recommendation in &summary.recommendations {
        row("do", recommendation.to_string());
    }
    text
}

fn bottlenecks(analysis: &Analysis, layout: Layout) -> String {
    let found = analysis.bottlenecks();
    if found.listed.is_empty() {
        return "\nno bottlenecks\n".to_owned();
    }
    let mut table = Table::new(&[
        "BOTTLENECK",
        "SEVERITY",
        "SCORE",
        "AFTER IT",
        "WAITING",
        "WHAT TO DO",
        "WHEN",
    ]);
    for one in &found.listed {
        table.row([
            analysis.name(one.step).to_owned(),
            one.severity.to_string(),
            one.impact_score.to_string(),
            one.downstream_steps.to_string(),
            one.blocked_downstream_steps.to_string(),
            one.resolution.to_string(),
            one.time.to_string(),
        ]);
    }
    format!(
        "\n{}{}",
        table.render(layout),
        more(found.total_bottlenecks, found.listed.len())
    )
}

fn errors(analysis: &Analysis, layout: Layout) -> String {
    let found = analysis.error_chains();
    if found.chains.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["IN ERROR", "ATTEMPTS", "IMPACT", "WAITING", "WAYS OUT"]);
    for chain in found.chains.iter().take(SHOWN) {
        let facts = analysis.facts(chain.step);
        let ways: Vec<String> = chain
            .strategies
            .iter()
            .map(|way| format!("{}: {}", way.strategy, way.description()))
            .collect();
        table.row([
            analysis.name(chain.step).to_owned(),
            format!("{}/{}", facts.attempts, facts.retry_limit),
            chain.total_impact.to_string(),
            chain.blocked_downstream_steps.to_string(),
            ways.join("; "),
        ]);
    }
    format!("\n{}{}", table.render(layout), more(found.chains.len(), SHOWN))
}

fn paths(analysis: &Analysis, layout: Layout) -> String {
    let found = analysis.critical_paths();
    if found.paths.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["PATH SCORE", "STEPS", "DONE", "WAITING", "FAILED", "PATH"]);
    for path in &found.paths {
        table.row([
            format!("{:.1}", path.criticality_score),
            path.steps.len().to_string(),
            path.completed_steps.to_string(),
            path.blocked_steps.to_string(),
            path.error_steps.to_string(),
            names(analysis, &path.steps),
        ]);
    }
    let least = if found.total_paths_is_lower_bound {
        "at least "
    } else {
        ""
    };
    format!(
        "\n{}{least}{} in all\n",
        table.render(layout),
        counted(found.total_paths, "path")
    )
}

fn levels(analysis: &Analysis, layout: Layout) -> String {
    let found = analysis.parallelism();
    let mut table = Table::new(&["LEVEL", "STEPS", "DONE", "CAN START", "WAITING", "FAILED", "RISK"]);
    for (number, level) in found.levels.iter().enumerate().take(SHOWN) {
        table.row([
            number.to_string(),
            level.total_steps.to_string(),
            level.completed_steps.to_string(),
            level.ready_steps.to_string(),
            level.blocked_steps.to_string(),
            level.error_steps.to_string(),
            level.risk().to_string(),
        ]);
    }
    format!("\n{}{}", table.render(layout), more(found.levels.len(), SHOWN))
}

fn more(total: usize, shown: usize) -> String {
    match total.saturating_sub(shown) {
        0 => String::new(),
        more => format!("… and {more} more\n"),
    }
}

/// Writes the names of a path; of a long one both ends.
fn names(analysis: &Analysis, steps: &[usize]) -> String {
    let name = |step: &usize| printable(analysis.name(*step));
    let join = |steps: &[usize]| steps.iter().map(name).collect::<Vec<_>>().join(" > ");
    if steps.len() <= SHOWN {
        return join(steps);
    }
    let (first, rest) = steps.split_at(SHOWN / 2);
    let (left, last) = rest.split_at(rest.len() - SHOWN / 2);
    format!("{} > ({} more) > {}", join(first), left.len(), join(last))
}

/// Writes when a task will be done, and what would change that.
pub(super) fn forecast(analysis: &Analysis, times: &Forecast<'_>, layout: Layout) -> String {
    let name = |step: &usize| printable(analysis.name(*step));
    let listed = |steps: &[usize]| {
        let shown: Vec<String> = steps.iter().take(SHOWN).map(name).collect();
        match steps.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    match times.arrival() {
        Arrival::Ended => "it has ended\n".to_owned(),
        Arrival::Stuck(steps) if steps.is_empty() => {
            "nobody can say: the task stands still until a person acts\n".to_owned()
        }
        Arrival::Stuck(steps) => format!(
            "nobody can say: these stand still until a person acts: {}\n",
            listed(steps)
        ),
        Arrival::NotMeasured(steps) => {
            format!(
                "nobody can say: no attempt of these was ever measured: {}\n",
                listed(steps)
            )
        }
        Arrival::In { typical, late } => {
            let mut text = format!(
                "in {}, or in {} if every step takes as long as its slowest twentieth\nby way of {}\n",
                duration(*typical),
                duration(*late),
                names(analysis, times.critical_path())
            );
            text.push_str(&steps(analysis, times, layout));
            text
        }
    }
}

fn steps(analysis: &Analysis, times: &Forecast<'_>, layout: Layout) -> String {
    let mut table = Table::new(&[
        "STEP",
        "P50",
        "P95",
        "MEASURED",
        "SLACK",
        "TWICE AS FAST",
        "ONE MORE TRY",
    ]);
    let mut rows: Vec<usize> = (0..analysis.len())
        .filter(|step| times.slack(*step).is_some())
        .collect();
    let count = rows.len();
    // What decides comes first; the sort is stable.
    rows.sort_by_key(|step| times.slack(*step));
    for step in rows.into_iter().take(SHOWN) {
        let spread = times.times(step).spread;
        let change = |change: WhatIf| {
            // The step is one of these, and twice as fast is a speed.
            let changed = times.what_if(change).ok().flatten();
            changed.map_or_else(String::new, |changed| signed(changed.typical_difference_seconds))
        };
        let retried = WhatIf::Retried {
            step,
            times: 1,
            waits: Duration::ZERO,
        };
        table.row([
            analysis.name(step).to_owned(),
            spread.map(|spread| duration(spread.p50)).unwrap_or_default(),
            spread.map(|spread| duration(spread.p95)).unwrap_or_default(),
            spread
                .map(|spread| spread.samples.to_string())
                .unwrap_or_default(),
            times.slack(step).map(duration).unwrap_or_default(),
            change(WhatIf::Faster { step, times: 2.0 }),
            change(retried),
        ]);
    }
    format!("{}{}", table.render(layout), more(count, SHOWN))
}

/// Writes a difference in time with its sign.
fn signed(seconds: f64) -> String {
    let size = duration(Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX));
    match seconds {
        seconds if seconds > 0.0 => format!("+{size}"),
        seconds if seconds < 0.0 => format!("-{size}"),
        _ => "no change".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tasker_graph::{GraphWeights, Spread, Step, StepFacts, StepState, StepTimes, TaskFacts, analyze};

    use super::*;

    fn step(id: u64, name: &str, state: StepState, attempts: u32) -> Step {
        let facts = StepFacts {
            state,
            attempts,
            ..StepFacts::default()
        };
        Step::new(id, name, facts)
    }

    #[test]
    fn an_analysis_reads_well() {
        let facts = TaskFacts::new([
            step(1, "fetch", StepState::Complete, 1),
            step(2, "parse", StepState::Error, 3),
            step(3, "check", StepState::Pending, 0),
            step(4, "report", StepState::Pending, 0),
        ]);
        let analysis = analyze(
            &facts,
            &[(1, 2), (1, 3), (2, 4), (3, 4)],
            &GraphWeights::default(),
        )
        .unwrap();
        let times = tasker_graph::forecast(&analysis, &[]);
        insta::assert_snapshot!(text("sales", &analysis, Some(&times), Layout::PLAIN));
    }

    #[test]
    fn a_forecast_says_what_would_change_it() {
        let facts = TaskFacts::new([
            step(1, "fetch", StepState::Complete, 1),
            step(2, "parse", StepState::Pending, 0),
            step(3, "check", StepState::Pending, 0),
            step(4, "report", StepState::Pending, 0),
        ]);
        let analysis = analyze(
            &facts,
            &[(1, 2), (1, 3), (2, 4), (3, 4)],
            &GraphWeights::default(),
        )
        .unwrap();
        let times = [1, 8, 2, 3].map(|seconds| StepTimes {
            spread: Spread::of(vec![
                Duration::from_secs(seconds),
                Duration::from_secs(seconds * 2),
            ]),
            running_for: None,
        });
        insta::assert_snapshot!(forecast(
            &analysis,
            &tasker_graph::forecast(&analysis, &times),
            Layout::PLAIN
        ));
    }
}
