//! The pictures: whole, by themselves, and safe.

use std::time::Duration;

use proptest::prelude::*;
use tasker_graph::{Analysis, Page, Step, StepFacts, StepState, TaskFacts, analyze};

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

/// Returns facts of a step that was tried so often.
fn tried(state: StepState, attempts: u32) -> StepFacts {
    StepFacts {
        state,
        attempts,
        ..StepFacts::default()
    }
}

/// Analyses steps with these names and facts, whose edges are pairs of places.
fn analysis(steps: &[(&str, StepFacts)], edges: &[(u64, u64)]) -> Analysis {
    let steps = steps.iter().enumerate();
    let facts = TaskFacts::new(steps.map(|(id, (name, facts))| Step::new(id as u64, *name, facts.clone())));
    analyze(&facts, edges, &weights(0)).unwrap()
}

/// Returns a task that does all at once: many steps side by side, in every state, with edges across layers.
fn busy() -> Analysis {
    let waiting = StepFacts {
        due_in: Some(Duration::from_millis(60_200)),
        ..tried(StepState::Error, 2)
    };
    let hopeless = StepFacts {
        permanent: true,
        ..tried(StepState::Error, 1)
    };
    analysis(
        &[
            ("extract_customers", tried(StepState::Complete, 1)),
            ("extract_orders", waiting),
            ("extract_products", tried(StepState::InProgress, 1)),
            ("ready", StepFacts::default()),
            ("exhausted", tried(StepState::Error, 3)),
            ("cancelled", tried(StepState::Cancelled, 0)),
            ("resolved", tried(StepState::ResolvedManually, 2)),
            ("hopeless", hopeless),
            ("due", tried(StepState::Error, 1)),
            ("transform_customers_of_the_year_2026", StepFacts::default()),
            ("report", StepFacts::default()),
            ("publish", StepFacts::default()),
        ],
        &[
            (0, 9),
            (1, 9),
            (2, 10),
            (4, 10),
            (6, 10),
            (7, 11),
            (8, 11),
            (9, 10),
            (10, 11),
            (0, 11),
            (5, 11),
        ],
    )
}

/// Returns a long chain with an arch over a part of it, whose first step failed for good.
fn long() -> Analysis {
    let names: Vec<String> = (0..20).map(|step| format!("step_{step}")).collect();
    let facts = |step| match step {
        0 => tried(StepState::Error, 3),
        _ => StepFacts::default(),
    };
    let steps: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(step, name)| (name.as_str(), facts(step)))
        .collect();
    let mut edges: Vec<(u64, u64)> = (1..20).map(|step| (step - 1, step)).collect();
    edges.extend([(2, 6), (3, 5)]);
    analysis(&steps, &edges)
}

/// Leaves the colours out, which are no drawing.
fn without_style(text: &str) -> String {
    let (before, rest) = text.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    format!("{before}{after}")
}

/// Returns what a page says below its drawing.
fn below(page: &str) -> &str {
    let (_, rest) = page.split_once("<main>\n").unwrap();
    rest.split_once("</main>").unwrap().0
}

#[test]
fn layers_are_columns_where_many_steps_are_side_by_side() {
    insta::assert_snapshot!(without_style(&busy().to_svg("a busy task")));
}

#[test]
fn layers_are_rows_where_steps_follow_each_other() {
    insta::assert_snapshot!(without_style(&long().to_svg("a long task")));
}

#[test]
fn a_page_says_what_its_numbers_mean() {
    insta::assert_snapshot!(below(&Page::new(&busy(), "a busy task").to_html()));
    insta::assert_snapshot!(below(&Page::new(&long(), "a long task").to_html()));
}

#[test]
fn a_page_leaves_out_what_there_is_none_of() {
    let analysis = analysis(&[("only", tried(StepState::Complete, 1))], &[]);
    insta::assert_snapshot!(below(&Page::new(&analysis, "done").to_html()));
}

#[test]
fn a_page_lists_twenty_errors_and_counts_the_others() {
    for (errors, more) in [(20, None), (21, Some("<p>and 1 more</p>"))] {
        let names: Vec<String> = (0..errors).map(|step| format!("s{step}")).collect();
        let steps: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), tried(StepState::Error, 3)))
            .collect();
        let page = Page::new(&analysis(&steps, &[]), "failed").to_html();
        let (_, listed) = page.split_once("<h2>Errors</h2>").unwrap();
        assert_eq!(listed.matches("<td class=\"\">s").count(), 20);
        assert_eq!(listed.contains("more</p>"), more.is_some());
        assert!(more.is_none_or(|more| listed.contains(more)));
    }
}

#[test]
fn a_page_names_all_of_a_path_of_sixteen_steps() {
    for (count, left_out) in [(16, None), (17, Some("→ (1 more) →"))] {
        let names: Vec<String> = (0..count).map(|step| format!("s{step}")).collect();
        let steps: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), StepFacts::default()))
            .collect();
        let edges: Vec<(u64, u64)> = (1..count).map(|step| (step - 1, step)).collect();
        let page = Page::new(&analysis(&steps, &edges), "chain").to_html();
        assert_eq!(page.contains(" more) →"), left_out.is_some());
        assert!(left_out.is_none_or(|left_out| page.contains(left_out)));
    }
}

#[test]
fn paths_that_are_too_many_to_count_are_at_least_so_many() {
    // Three times as many with each layer.
    let names: Vec<String> = (0..300).map(|step| format!("s{step}")).collect();
    let steps: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), StepFacts::default()))
        .collect();
    let edges: Vec<(u64, u64)> = (0..297)
        .flat_map(|step| (0..3).map(move |other| (step, step / 3 * 3 + 3 + other)))
        .collect();
    let page = Page::new(&analysis(&steps, &edges), "many").to_html();
    assert!(page.contains("From a root to a leaf: at least "));
}
