//! The drawing itself.

use std::collections::HashMap;
use std::fmt::{self, Write};

use tasker_types::{BlockingReason, StepState};

use super::layout::{Layout, layout};
use crate::analysis::{Analysis, Severity};

/// A box of a step, in pixels.
const BOX: (f64, f64) = (176.0, 46.0);
/// From one box to the next, within a layer and from layer to layer, if layers are rows.
const ROW_GAPS: (f64, f64) = (22.0, 46.0);
/// The same if layers are columns.
const COLUMN_GAPS: (f64, f64) = (18.0, 64.0);
/// Around the drawing.
const MARGIN: f64 = 24.0;
/// Title and legend above the drawing.
const HEAD: f64 = 86.0;
/// The legend needs so much.
const LEAST_WIDTH: f64 = 820.0;
/// How many characters of a name a box has room for, also in a wide font.
const NAME: usize = 21;

/// What a step is doing, which decides on its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Done,
    Running,
    Ready,
    Waiting,
    Blocked,
    Failed,
    Cancelled,
}

impl Doing {
    pub(super) fn of(analysis: &Analysis, step: usize) -> Self {
        let facts = analysis.facts(step);
        let is_active = analysis.task_state().is_active();
        match (facts.state, facts.blocking_reason(is_active)) {
            (StepState::Complete | StepState::ResolvedManually, _) => Self::Done,
            (StepState::Cancelled, _) => Self::Cancelled,
            (StepState::InProgress, _) => Self::Running,
            (_, None) => Self::Ready,
            (_, Some(BlockingReason::WaitingForBackoff)) => Self::Waiting,
            (StepState::Error, _) => Self::Failed,
            (StepState::Pending, Some(BlockingReason::RetryNotEligible)) => Self::Failed,
            (StepState::Pending, _) => Self::Blocked,
        }
    }

    pub(super) const ALL: [Self; 7] = [
        Self::Done,
        Self::Running,
        Self::Ready,
        Self::Waiting,
        Self::Blocked,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Returns the class of the box.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the word of the legend.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waits for its time",
            Self::Blocked => "waits for a parent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The colours, which a page that has the drawing shares.
pub(super) const STYLE: &str = "\
.tg{--paper:#ffffff;--ink:#1b1f24;--soft:#57606a;--line:#9aa4ae;--critical-path:#5b3fd6;\
--done:#d8f0dd;--done-line:#2e7d43;--running:#d6e8fb;--running-line:#1f6fbf;--ready:#ffffff;--ready-line:#1f6fbf;\
--waiting:#fdeecb;--waiting-line:#9a6700;--blocked:#eceff2;--blocked-line:#8c959f;--failed:#fbdcdc;--failed-line:#c62828;\
--cancelled:#e4dfe9;--cancelled-line:#75607f;\
--sev-critical:#b3151f;--sev-high:#c2570c;--sev-medium:#8a6d00;--sev-low:#57606a;--badge:#ffffff}\
@media (prefers-color-scheme:dark){.tg{--paper:#15181d;--ink:#e8ebef;--soft:#a3adb8;--line:#66707c;--critical-path:#a894ff;\
--done:#173a22;--done-line:#56b870;--running:#14324f;--running-line:#63aef0;--ready:#1c2129;--ready-line:#63aef0;\
--waiting:#3d3112;--waiting-line:#d9a927;--blocked:#262b33;--blocked-line:#6f7985;--failed:#4a1c20;--failed-line:#f0736f;\
--cancelled:#332a3b;--cancelled-line:#a98fb8;\
--sev-critical:#ff7b78;--sev-high:#f5a05a;--sev-medium:#e0c04a;--sev-low:#a3adb8;--badge:#15181d}}\
.tg text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:var(--ink)}\
.tg .title{font-size:17px;font-weight:600}.tg .name{font-size:12.5px;font-weight:600}\
.tg .note,.tg .key{font-size:11px;fill:var(--soft)}.tg .badge{font-size:10px;font-weight:700;fill:var(--badge)}\
.tg .paper{fill:var(--paper)}.tg .edge{fill:none;stroke:var(--line);stroke-width:1.2}\
.tg .tip{fill:var(--line)}.tg .edge.critical{stroke:var(--critical-path);stroke-width:3}.tg .tip.critical{fill:var(--critical-path)}\
.tg .ring{fill:none;stroke:var(--critical-path);stroke-width:3}\
.tg .step{stroke-width:1.4}.tg .done{fill:var(--done);stroke:var(--done-line)}\
.tg .running{fill:var(--running);stroke:var(--running-line)}.tg .ready{fill:var(--ready);stroke:var(--ready-line)}\
.tg .waiting{fill:var(--waiting);stroke:var(--waiting-line)}.tg .blocked{fill:var(--blocked);stroke:var(--blocked-line)}\
.tg .failed{fill:var(--failed);stroke:var(--failed-line)}.tg .cancelled{fill:var(--cancelled);stroke:var(--cancelled-line);stroke-dasharray:4 3}\
.tg .sev-critical{fill:var(--sev-critical)}.tg .sev-high{fill:var(--sev-high)}\
.tg .sev-medium{fill:var(--sev-medium)}.tg .sev-low{fill:var(--sev-low)}";

/// Text as XML takes it.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML has no way to write these.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => f.write_char(' ')?,
                // These would turn the text around them.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Appends formatted text; writing to a string cannot fail.
pub(super) fn put(text: &mut String, part: fmt::Arguments<'_>) {
    let _ = text.write_fmt(part);
}

/// Where everything stands, in pixels.
struct Sheet<'a> {
    analysis: &'a Analysis,
    layout: Layout,
    is_columns: bool,
    gaps: (f64, f64),
    width: f64,
    height: f64,
    /// What keeps a drawing that is narrower than its legend in the middle.
    shift: f64,
}

impl<'a> Sheet<'a> {
    fn new(analysis: &'a Analysis) -> Self {
        let layout = layout(analysis.dag());
        let depth = analysis
            .dag()
            .levels()
            .iter()
            .max()
            .map_or(0, |level| *level as usize + 1) as f64;
        let across = layout.width + 1.0;
        // Layers are rows or columns, whichever is narrower: a page is rather scrolled down than aside.
        let rows = across * (BOX.0 + ROW_GAPS.0);
        let columns = depth * (BOX.0 + COLUMN_GAPS.1);
        let is_columns = columns < rows;
        let gaps = if is_columns { COLUMN_GAPS } else { ROW_GAPS };
        let (inner_width, inner_height) = if is_columns {
            (columns - gaps.1, across * (BOX.1 + gaps.0) - gaps.0)
        } else {
            (rows - gaps.0, depth * (BOX.1 + gaps.1) - gaps.1)
        };
        let width = (inner_width + 2.0 * MARGIN).max(LEAST_WIDTH);
        Self {
            analysis,
            layout,
            is_columns,
            gaps,
            width,
            height: inner_height.max(0.0) + 2.0 * MARGIN + HEAD,
            shift: (width - inner_width) / 2.0,
        }
    }

    /// Returns the upper left corner of a box on a layer.
    fn corner(&self, level: usize, place: f64) -> (f64, f64) {
        let level = level as f64;
        if self.is_columns {
            (
                self.shift + level * (BOX.0 + self.gaps.1),
                HEAD + MARGIN + place * (BOX.1 + self.gaps.0),
            )
        } else {
            (
                self.shift + place * (BOX.0 + self.gaps.0),
                HEAD + MARGIN + level * (BOX.1 + self.gaps.1),
            )
        }
    }

    fn of_step(&self, step: usize) -> (f64, f64) {
        self.corner(
            self.analysis.dag().levels()[step] as usize,
            self.layout.places[step],
        )
    }

    /// Returns the points of an edge: out of the first box, through the layers between, into the last one.
    fn points(&self, from: usize, to: usize, bends: &[f64]) -> Vec<(f64, f64)> {
        let out = |(x, y): (f64, f64)| {
            if self.is_columns {
                (x + BOX.0, y + BOX.1 / 2.0)
            } else {
                (x + BOX.0 / 2.0, y + BOX.1)
            }
        };
        let into = |(x, y): (f64, f64)| {
            if self.is_columns {
                (x, y + BOX.1 / 2.0)
            } else {
                (x + BOX.0 / 2.0, y)
            }
        };
        let mut points = vec![out(self.of_step(from))];
        let first = self.analysis.dag().levels()[from] as usize + 1;
        for (index, bend) in bends.iter().enumerate() {
            let corner = self.corner(first + index, *bend);
            points.extend([into(corner), out(corner)]);
        }
        points.push(into(self.of_step(to)));
        points
    }
}

/// Draws a whole document.
pub(super) fn document(analysis: &Analysis, title: &str) -> String {
    let sheet = Sheet::new(analysis);
    let (width, height) = (sheet.width, sheet.height);
    let mut text = String::new();
    put(
        &mut text,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
            Escaped(title)
        ),
    );
    head(&mut text, analysis, title);
    edges(&mut text, &sheet);
    steps(&mut text, &sheet);
    text.push_str("</svg>\n");
    text
}

fn head(text: &mut String, analysis: &Analysis, title: &str) {
    let context = analysis.context();
    let summary = analysis.summary();
    put(
        text,
        format_args!(
            "<text class=\"title\" x=\"{MARGIN}\" y=\"32\">{}</text>\n<text class=\"note\" x=\"{MARGIN}\" y=\"52\">task {}, \
             {} % done, {}; health {}, overall {}; impact of bottlenecks: {}</text>\n",
            Escaped(title),
            words(analysis.task_state().as_str()),
            context.completion_percentage,
            words(context.execution_status.as_str()),
            context.health_status,
            summary.overall_health,
            analysis.bottlenecks().overall_impact,
        ),
    );
    let mut x = MARGIN;
    for doing in Doing::ALL {
        let word = doing.word();
        put(
            text,
            format_args!(
                "<rect class=\"step {}\" x=\"{x:.0}\" y=\"66\" width=\"14\" height=\"12\" rx=\"3\"/>\
                 <text class=\"key\" x=\"{:.0}\" y=\"76\">{word}</text>\n",
                doing.class(),
                x + 19.0,
            ),
        );
        x += 34.0 + word.len() as f64 * 6.0;
    }
    put(
        text,
        format_args!(
            "<path class=\"edge critical\" d=\"M{x:.0} 72h22\"/><text class=\"key\" x=\"{:.0}\" y=\"76\">most critical path</text>\n",
            x + 27.0
        ),
    );
}

/// Returns a name as words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn edges(text: &mut String, sheet: &Sheet<'_>) {
    let paths = &sheet.analysis.critical_paths().paths;
    let critical: Vec<(usize, usize)> = paths
        .first()
        .map(|path| path.steps.windows(2).map(|pair| (pair[0], pair[1])).collect())
        .unwrap_or_default();
    let is_critical: std::collections::HashSet<(usize, usize)> = critical.into_iter().collect();
    // The critical ones come last, so that nothing covers them.
    for wanted in [false, true] {
        for route in &sheet.layout.edges {
            if is_critical.contains(&(route.from, route.to)) == wanted {
                edge(
                    text,
                    sheet,
                    &sheet.points(route.from, route.to, &route.bends),
                    if wanted { " critical" } else { "" },
                );
            }
        }
    }
}

fn edge(text: &mut String, sheet: &Sheet<'_>, points: &[(f64, f64)], class: &str) {
    let (first, last) = (points[0], points[points.len() - 1]);
    let mut path = format!("M{:.1} {:.1}", first.0, first.1);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if sheet.is_columns {
            let middle = f64::midpoint(x0, x1);
            put(
                &mut path,
                format_args!("C{middle:.1} {y0:.1} {middle:.1} {y1:.1} {x1:.1} {y1:.1}"),
            );
        } else {
            let middle = f64::midpoint(y0, y1);
            put(
                &mut path,
                format_args!("C{x0:.1} {middle:.1} {x1:.1} {middle:.1} {x1:.1} {y1:.1}"),
            );
        }
    }
    let tip = if sheet.is_columns { "l-7-4v8z" } else { "l-4-7h8z" };
    put(
        text,
        format_args!(
            "<path class=\"edge{class}\" d=\"{path}\"/><path class=\"tip{class}\" d=\"M{:.1} {:.1}{tip}\"/>\n",
            last.0, last.1
        ),
    );
}

fn steps(text: &mut String, sheet: &Sheet<'_>) {
    let analysis = sheet.analysis;
    let severities: HashMap<usize, (Severity, i64)> = analysis
        .bottlenecks()
        .listed
        .iter()
        .map(|bottleneck| (bottleneck.step, (bottleneck.severity, bottleneck.impact_score)))
        .collect();
    let mut is_critical = vec![false; analysis.len()];
    for step in analysis
        .critical_paths()
        .paths
        .first()
        .iter()
        .flat_map(|path| &path.steps)
    {
        is_critical[*step] = true;
    }
    for (step, is_critical) in is_critical.into_iter().enumerate() {
        let (x, y) = sheet.of_step(step);
        let name = analysis.name(step);
        put(
            text,
            format_args!(
                "<g transform=\"translate({x:.1} {y:.1})\"><title>{}</title>",
                Escaped(&describe(analysis, step))
            ),
        );
        let (width, height) = BOX;
        if is_critical {
            put(
                text,
                format_args!(
                    "<rect class=\"ring\" x=\"-3\" y=\"-3\" width=\"{}\" height=\"{}\" rx=\"10\"/>",
                    width + 6.0,
                    height + 6.0
                ),
            );
        }
        put(
            text,
            format_args!(
                "<rect class=\"step {}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/><text class=\"name\" x=\"10\" \
                 y=\"20\">{}</text><text class=\"note\" x=\"10\" y=\"36\">{}</text>",
                Doing::of(analysis, step).class(),
                Escaped(&shorten(name)),
                Escaped(&note(analysis, step)),
            ),
        );
        if let Some((severity, score)) = severities.get(&step) {
            badge(text, *severity, *score);
        }
        text.push_str("</g>\n");
    }
}

fn badge(text: &mut String, severity: Severity, score: i64) {
    let caption = format!("{severity} {score}");
    let width = caption.len() as f64 * 6.2 + 10.0;
    put(
        text,
        format_args!(
            "<rect class=\"sev-{}\" x=\"{:.1}\" y=\"-11\" width=\"{width:.1}\" height=\"16\" rx=\"8\"/><text class=\"badge\" \
             x=\"{:.1}\" y=\"1\" text-anchor=\"middle\">{caption}</text>",
            class(severity),
            BOX.0 - width + 6.0,
            BOX.0 + 6.0 - width / 2.0,
        ),
    );
}

/// Returns the class of a severity, without its prefix.
pub(super) const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    // Names that are long often differ at their ends.
    let characters: Vec<char> = name.chars().collect();
    let (start, end) = (NAME - 9, 8);
    let start: String = characters[..start].iter().collect();
    let end: String = characters[characters.len() - end..].iter().collect();
    format!("{start}…{end}")
}

fn note(analysis: &Analysis, step: usize) -> String {
    let facts = analysis.facts(step);
    let attempts = match facts.attempts {
        0 => String::new(),
        attempts => format!(" · try {attempts}/{}", facts.retry_limit),
    };
    let wait = facts
        .due_in
        .filter(|_| facts.in_backoff())
        .map(|wait| format!(" · in {} s", wait.as_secs_f64().ceil()));
    format!(
        "{}{attempts}{}",
        words(facts.state.as_str()),
        wait.unwrap_or_default()
    )
}

/// What is said when one points at a step.
fn describe(analysis: &Analysis, step: usize) -> String {
    format!(
        "{}: {}; {} after it, {} of them wait",
        analysis.name(step),
        note(analysis, step),
        match analysis.descendant_count(step) {
            1 => "1 step comes".to_owned(),
            steps => format!("{steps} steps come"),
        },
        analysis.blocked_descendant_count(step),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(shorten("extract_customers"), "extract_customers");
        assert_eq!(
            shorten("transform_customers_of_the_year_2026"),
            "transform_cu…ear_2026"
        );
    }

    #[test]
    fn no_name_is_markup() {
        assert_eq!(
            Escaped("a<b>&\"c'\u{1b}\u{202e}").to_string(),
            "a&lt;b&gt;&amp;&quot;c&#39; "
        );
    }
}
