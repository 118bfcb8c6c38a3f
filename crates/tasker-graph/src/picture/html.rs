//! The drawing on a page of its own, with what the numbers say beside it.

use std::fmt::Display;

use super::svg::{self, Escaped, put};
use crate::analysis::Analysis;

/// A page about one task. It opens without a network, and follows the reader's light or dark scheme.
#[derive(Debug)]
pub struct Page<'a> {
    analysis: &'a Analysis,
    title: String,
    sections: Vec<(String, String)>,
}

/// What the page adds to the style of the drawing.
const STYLE: &str = "\
:root{color-scheme:light dark}body{margin:0;background:var(--paper);color:var(--ink);\
font:14px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
main{padding:0 24px 32px;max-width:1100px}h2{font-size:16px;margin:28px 0 8px}p,ul{margin:6px 0}\
.sheet{overflow:auto;max-height:82vh;border-bottom:1px solid var(--line)}\
.bar{position:sticky;top:0;left:0;padding:8px 24px;display:flex;gap:8px;background:var(--paper);border-bottom:1px solid var(--line)}\
button{font:inherit;color:inherit;background:var(--blocked);border:1px solid var(--line);border-radius:6px;padding:2px 10px}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{font-weight:600;color:var(--soft)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
b.sev-critical{color:var(--sev-critical)}b.sev-high{color:var(--sev-high)}b.sev-medium{color:var(--sev-medium)}b.sev-low{color:var(--sev-low)}\
pre{white-space:pre-wrap;font:12.5px/1.5 ui-monospace,Consolas,monospace}";

/// Makes the drawing larger and smaller. Without it the page is the same, at its natural size.
const SCRIPT: &str = "\
const s=document.querySelector('.sheet svg'),w=+s.getAttribute('width'),h=+s.getAttribute('height');let z=1;\
function zoom(v){z=Math.min(4,Math.max(.05,v));s.setAttribute('width',w*z);s.setAttribute('height',h*z)}\
document.querySelectorAll('button').forEach(b=>b.onclick=()=>zoom(b.dataset.z==='fit'?(document.querySelector('.sheet').clientWidth-4)/w:b.dataset.z==='1'?1:z*b.dataset.z))";

impl<'a> Page<'a> {
    /// Returns a page with a title.
    pub fn new(analysis: &'a Analysis, title: impl Into<String>) -> Self {
        Self {
            analysis,
            title: title.into(),
            sections: Vec::new(),
        }
    }

    /// Adds a section of plain text below the tables, such as an explanation.
    #[must_use]
    pub fn section(mut self, heading: impl Into<String>, text: impl Into<String>) -> Self {
        self.sections.push((heading.into(), text.into()));
        self
    }

    /// Writes the page as HTML.
    pub fn to_html(&self) -> String {
        let mut text = String::new();
        put(
            &mut text,
            format_args!(
                "<!DOCTYPE html>\n<html lang=\"en\" class=\"tg\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
                 <style>{}{STYLE}</style>\n</head>\n<body>\n\
                 <div class=\"bar\"><button data-z=\"fit\">fit</button><button data-z=\"1\">100 %</button>\
                 <button data-z=\"1.25\">+</button><button data-z=\"0.8\">−</button></div>\n<div class=\"sheet\">\n",
                Escaped(&self.title),
                svg::STYLE,
            ),
        );
        text.push_str(&svg::document(self.analysis, &self.title));
        text.push_str("</div>\n<main>\n");
        self.recommendations(&mut text);
        self.bottlenecks(&mut text);
        self.paths(&mut text);
        self.errors(&mut text);
        for (heading, body) in &self.sections {
            put(&mut text, format_args!("<h2>{}</h2>\n<pre>", Escaped(heading)));
            for line in body.lines() {
                put(&mut text, format_args!("{}\n", Escaped(line)));
            }
            text.push_str("</pre>\n");
        }
        put(
            &mut text,
            format_args!("</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"),
        );
        text
    }

    fn recommendations(&self, text: &mut String) {
        text.push_str("<h2>What to do</h2>\n<ul>\n");
        for recommendation in &self.analysis.summary().recommendations {
            put(
                text,
                format_args!("<li>{}</li>\n", Escaped(recommendation.as_str())),
            );
        }
        text.push_str("</ul>\n");
    }

    fn bottlenecks(&self, text: &mut String) {
        let found = self.analysis.bottlenecks();
        put(
            text,
            format_args!(
                "<h2>Bottlenecks</h2>\n<p>In all: {}; critical: {}; steps that wait for them: {}; overall impact: {}.</p>\n",
                found.total_bottlenecks,
                found.critical_bottlenecks,
                found.total_blocked_steps,
                found.overall_impact
            ),
        );
        if found.listed.is_empty() {
            return;
        }
        head(
            text,
            &[
                ("step", ""),
                ("severity", ""),
                ("score", "n"),
                ("after it", "n"),
                ("waiting", "n"),
                ("type", ""),
                ("what to do", ""),
                ("when", ""),
            ],
        );
        for one in &found.listed {
            put(
                text,
                format_args!(
                    "<tr><td>{}</td><td><b class=\"sev-{}\">{}</b></td>",
                    Escaped(self.analysis.name(one.step)),
                    svg::class(one.severity),
                    one.severity,
                ),
            );
            cells(
                text,
                &[
                    (&one.impact_score, "n"),
                    (&one.downstream_steps, "n"),
                    (&one.blocked_downstream_steps, "n"),
                    (&one.kind, ""),
                    (&one.resolution, ""),
                    (&one.time, ""),
                ],
            );
        }
        text.push_str("</table>\n");
    }

    fn paths(&self, text: &mut String) {
        let found = self.analysis.critical_paths();
        let least = if found.total_paths_is_lower_bound {
            "at least "
        } else {
            ""
        };
        put(
            text,
            format_args!(
                "<h2>Critical paths</h2>\n<p>From a root to a leaf: {least}{}; steps of the longest: {}.</p>\n",
                found.total_paths, found.longest_path_length
            ),
        );
        if found.paths.is_empty() {
            return;
        }
        head(
            text,
            &[
                ("score", "n"),
                ("steps", "n"),
                ("done", "n"),
                ("waiting", "n"),
                ("failed", "n"),
                ("path", ""),
            ],
        );
        for path in &found.paths {
            let names = self.names(&path.steps);
            let score = format!("{:.1}", path.criticality_score);
            text.push_str("<tr>");
            cells(
                text,
                &[
                    (&score, "n"),
                    (&path.steps.len(), "n"),
                    (&path.completed_steps, "n"),
                    (&path.blocked_steps, "n"),
                    (&path.error_steps, "n"),
                    (&Escaped(&names), ""),
                ],
            );
        }
        text.push_str("</table>\n");
    }

    fn errors(&self, text: &mut String) {
        let found = self.analysis.error_chains();
        if found.chains.is_empty() {
            return;
        }
        put(
            text,
            format_args!(
                "<h2>Errors</h2>\n<p>In error: {}; waiting for them: {}.</p>\n",
                found.total_error_steps, found.total_blocked_by_errors
            ),
        );
        head(
            text,
            &[
                ("step", ""),
                ("attempts", "n"),
                ("impact", "n"),
                ("waiting", "n"),
                ("ways out", ""),
            ],
        );
        for chain in found.chains.iter().take(LISTED) {
            let ways: Vec<String> = chain
                .strategies
                .iter()
                .map(|recovery| format!("{}: {}", recovery.strategy, recovery.description()))
                .collect();
            let facts = self.analysis.facts(chain.step);
            let attempts = format!("{} of {}", facts.attempts, facts.retry_limit);
            text.push_str("<tr>");
            cells(
                text,
                &[
                    (&Escaped(self.analysis.name(chain.step)), ""),
                    (&attempts, "n"),
                    (&chain.total_impact, "n"),
                    (&chain.blocked_downstream_steps, "n"),
                    (&Escaped(&ways.join("; ")), ""),
                ],
            );
        }
        text.push_str("</table>\n");
        if found.chains.len() > LISTED {
            put(
                text,
                format_args!("<p>and {} more</p>\n", found.chains.len() - LISTED),
            );
        }
    }

    /// Returns the names of a path; of a long one both ends.
    fn names(&self, steps: &[usize]) -> String {
        let name = |step: &usize| self.analysis.name(*step);
        let join = |steps: &[usize]| steps.iter().map(name).collect::<Vec<_>>().join(" → ");
        if steps.len() <= 2 * ENDS {
            return join(steps);
        }
        let left = steps.len() - 2 * ENDS;
        format!(
            "{} → ({left} more) → {}",
            join(&steps[..ENDS]),
            join(&steps[steps.len() - ENDS..])
        )
    }
}

/// How many errors a page lists.
const LISTED: usize = 20;
/// How many steps of each end of a long path a page names.
const ENDS: usize = 8;

fn head(text: &mut String, columns: &[(&str, &str)]) {
    text.push_str("<table>\n<tr>");
    for (name, class) in columns {
        put(text, format_args!("<th class=\"{class}\">{name}</th>"));
    }
    text.push_str("</tr>\n");
}

fn cells(text: &mut String, cells: &[(&dyn Display, &str)]) {
    for (value, class) in cells {
        put(text, format_args!("<td class=\"{class}\">{value}</td>"));
    }
    text.push_str("</tr>\n");
}
