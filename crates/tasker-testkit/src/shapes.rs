//! Shapes of workflows.
//!
//! Every step has the handler `any`, which no crate defines: a test decides what runs.

use std::sync::Arc;

use tasker_engine::{Entropy, SeededEntropy, StepBuilder, Template, TemplateBuilder};

/// The five steps that `linear` begins with, and the one it ends with.
const LINEAR: [&str; 6] = [
    "initialize_data",
    "validate_input",
    "process_data",
    "transform_results",
    "validate_output",
    "finalize_workflow",
];

/// Returns a template from its steps, each with the names of its parents between spaces.
///
/// ```
/// let template = tasker_testkit::shapes::graph("fork", &[("a", ""), ("b", "a"), ("c", "a"), ("d", "b c")]);
/// assert_eq!(template.steps().len(), 4);
/// ```
///
/// # Panics
///
/// When the steps make no valid template.
pub fn graph(name: &str, steps: &[(&str, &str)]) -> Arc<Template> {
    add(Template::builder(name), steps).build().unwrap()
}

fn add(builder: TemplateBuilder, steps: &[(&str, &str)]) -> TemplateBuilder {
    steps.iter().fold(builder, |builder, (step, parents)| {
        builder.step(StepBuilder::new(*step, "any").depends_on(parents.split_whitespace()))
    })
}

/// Returns one step that waits for nothing.
pub fn single() -> Arc<Template> {
    graph("single", &[("only", "")])
}

/// Returns the first steps of a workflow of six in a row, from `initialize_data` to `finalize_workflow`.
///
/// # Panics
///
/// When it is to have no step, or more than six.
pub fn linear(steps: usize) -> Arc<Template> {
    let parents = std::iter::once("").chain(LINEAR);
    let pairs: Vec<_> = LINEAR.into_iter().zip(parents).take(steps).collect();
    assert_eq!(pairs.len(), steps, "a linear workflow has at most six steps");
    graph("linear", &pairs)
}

/// Returns seven steps: a start, two branches of two steps, their merge and an end.
pub fn diamond() -> Arc<Template> {
    graph(
        "diamond",
        &[
            ("start_workflow", ""),
            ("branch_one_process", "start_workflow"),
            ("branch_two_process", "start_workflow"),
            ("branch_one_validate", "branch_one_process"),
            ("branch_two_validate", "branch_two_process"),
            ("merge_branches", "branch_one_validate branch_two_validate"),
            ("end_workflow", "merge_branches"),
        ],
    )
}

/// Returns eight steps: a root, two branches with two leaves each, and what gathers the four leaves.
pub fn tree() -> Arc<Template> {
    graph(
        "tree",
        &[
            ("root_initialization", ""),
            ("branch_a_setup", "root_initialization"),
            ("branch_b_setup", "root_initialization"),
            ("a_one", "branch_a_setup"),
            ("a_two", "branch_a_setup"),
            ("b_one", "branch_b_setup"),
            ("b_two", "branch_b_setup"),
            ("aggregate_results", "a_one a_two b_one b_two"),
        ],
    )
}

/// Returns seven steps: four roots that come together, two of them by way of another step.
pub fn parallel_merge() -> Arc<Template> {
    graph(
        "parallel_merge",
        &[
            ("fetch_user", ""),
            ("fetch_order", ""),
            ("fetch_inventory", ""),
            ("fetch_pricing", ""),
            ("process_user", "fetch_user"),
            ("process_order", "fetch_order"),
            (
                "merge_all",
                "process_user process_order fetch_inventory fetch_pricing",
            ),
        ],
    )
}

/// Returns nine steps: two roots, chains of unlike lengths between them, and one leaf that nothing waits for.
pub fn mixed() -> Arc<Template> {
    graph(
        "mixed",
        &[
            ("init_auth", ""),
            ("init_config", ""),
            ("validate_permissions", "init_auth"),
            ("setup_environment", "init_config"),
            ("begin_processing", "validate_permissions setup_environment"),
            ("process_critical", "begin_processing"),
            ("process_optional", "begin_processing"),
            ("cleanup_temp", "setup_environment"),
            ("finalize_and_report", "process_critical cleanup_temp"),
        ],
    )
}

/// Returns a root, `width` steps side by side that wait for it, and a last one that waits for all of them.
pub fn wide(width: usize) -> Arc<Template> {
    let names: Vec<String> = (1..=width).map(|number| format!("side_{number}")).collect();
    let sides = names
        .iter()
        .map(|name| StepBuilder::new(name, "any").depends_on(["root"]));
    let builder = sides.fold(
        Template::builder("wide").step(StepBuilder::new("root", "any")),
        TemplateBuilder::step,
    );
    builder
        .step(StepBuilder::new("last", "any").depends_on(names.clone()))
        .build()
        .unwrap()
}

/// Returns `length` steps, each of which waits for the one before.
pub fn chain(length: usize) -> Arc<Template> {
    let link = |number: usize| {
        let step = StepBuilder::new(format!("link_{number}"), "any");
        if number == 1 {
            step
        } else {
            step.depends_on([format!("link_{}", number - 1)])
        }
    };
    (1..=length)
        .map(link)
        .fold(Template::builder("chain"), TemplateBuilder::step)
        .build()
        .unwrap()
}

/// Returns a graph of `steps` steps that follows from a seed.
///
/// Each step waits for up to three earlier ones. Some steps may not be tried again, others up to four times.
pub fn random(seed: u64, steps: usize) -> Arc<Template> {
    random_in(seed, steps, "default_system")
}

/// Does as [`random`] in some namespace.
pub(crate) fn random_in(seed: u64, steps: usize, namespace: &str) -> Arc<Template> {
    let entropy = SeededEntropy::new(seed);
    let below = |bound: usize| (entropy.next_u64() % bound as u64) as usize;
    let mut builder = Template::builder(format!("random_{seed:x}")).namespace(namespace);
    for number in 0..steps {
        let wanted = if number == 0 { 0 } else { below(4) };
        let mut parents: Vec<usize> = (0..wanted).map(|_| below(number)).collect();
        parents.sort_unstable();
        parents.dedup();
        let names = parents.into_iter().map(|parent| format!("step_{parent}"));
        let step = StepBuilder::new(format!("step_{number}"), "any").depends_on(names);
        builder = builder.step(match below(5) {
            0 => step.not_retryable(),
            limit => step.retry_limit(u32::try_from(limit).unwrap()),
        });
    }
    builder.build().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &Template, steps: usize, edges: usize) {
        assert_eq!(template.steps().len(), steps);
        assert_eq!(
            template
                .steps()
                .iter()
                .map(|step| step.depends_on().len())
                .sum::<usize>(),
            edges
        );
    }

    #[test]
    fn shapes_have_their_steps_and_edges() {
        check(&single(), 1, 0);
        check(&linear(4), 4, 3);
        check(&linear(6), 6, 5);
        check(&diamond(), 7, 7);
        check(&tree(), 8, 10);
        check(&parallel_merge(), 7, 6);
        check(&mixed(), 9, 9);
        check(&wide(50), 52, 100);
        check(&chain(30), 30, 29);
    }

    #[test]
    fn a_seed_gives_one_graph() {
        assert_eq!(random(7, 20), random(7, 20));
        assert_ne!(random(7, 20), random(8, 20));
    }
}
