//! The pictures: whole, by themselves, and safe.

use proptest::prelude::*;
use tasker_graph::{Page, Step, StepFacts, StepState, TaskFacts, analyze};

use crate::cases::{tasks, weights};

/// Checks that every tag is closed, in the right order.
fn is_well_formed(text: &str) -> bool {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else {
            return false;
        };
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.is_empty()
}

proptest! {
    #[test]
    fn every_picture_is_whole(case in tasks(14), name in "\\PC{0,40}") {
        let mut case = case;
        if let Some(step) = case.facts.steps.first_mut() {
            step.name = format!("<{name}&\"'\u{1b}");
        }
        let analysis = analyze(&case.facts, &case.edges_by_id(), &case.weights).unwrap();
        let svg = analysis.to_svg(&name);
        prop_assert!(is_well_formed(&svg), "{}", svg);
        prop_assert_eq!(svg.matches("<g transform").count(), analysis.len());
        prop_assert_eq!(svg.matches("class=\"tip").count(), case.edges.len());
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf "));
    }
}

#[test]
fn a_page_needs_nothing_beside_it() {
    let facts = TaskFacts::new([
        Step::new(
            1,
            "</style><script>alert(1)</script>",
            StepFacts {
                state: StepState::Error,
                attempts: 3,
                ..StepFacts::default()
            },
        ),
        Step::new(2, "after", StepFacts::default()),
    ]);
    let analysis = analyze(&facts, &[(1, 2)], &weights(0)).unwrap();
    let page = Page::new(&analysis, "a <title>")
        .section("Why", "<b>\nbecause")
        .to_html();
    for outside in ["src=", "href=", "@import", "url(", "https://"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The namespace of SVG is a name, not an address that is visited.
    assert_eq!(page.matches("http://").count(), 1);
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("&lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("<pre>&lt;b&gt;\nbecause\n</pre>"));
    assert!(page.contains("Critical") && page.contains("Manual intervention required"));
}

#[test]
fn a_drawing_of_thousands_of_steps_takes_no_ages() {
    let steps = (0..5_000).map(|step| Step::new(step, format!("s{step}"), StepFacts::default()));
    // Each edge from the first step crosses all levels up to its end.
    let edges: Vec<_> = (1..5_000)
        .map(|step| (step - 1, step))
        .chain((2..5_000).map(|step| (0, step)))
        .collect();
    let analysis = analyze(&TaskFacts::new(steps), &edges, &weights(0)).unwrap();
    assert_eq!(analysis.to_svg("large").matches("<g transform").count(), 5_000);
}
