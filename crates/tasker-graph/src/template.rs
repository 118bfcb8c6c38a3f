//! What a template's graph is like before anything runs, with everything that is wrong with it.

use std::collections::HashMap;

use serde::Serialize;

use crate::adjacency::Adjacency;
use crate::cycles::elementary_cycles;
use crate::dag::Dag;

/// A step of a template, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateStep {
    /// Its name.
    pub name: String,
    /// The names of the steps that it comes after.
    pub dependencies: Vec<String>,
}

impl TemplateStep {
    /// Returns a step.
    pub fn new<D: Into<String>>(name: impl Into<String>, dependencies: impl IntoIterator<Item = D>) -> Self {
        Self {
            name: name.into(),
            dependencies: dependencies.into_iter().map(Into::into).collect(),
        }
    }
}

/// A dependency that is no step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownDependency {
    /// The step that has it.
    pub step: String,
    /// The name that belongs to no step.
    pub dependency: String,
}

/// What a template's graph is like.
///
/// What is wrong is reported here and left out of the rest: of several steps of one name the first counts, and a
/// dependency that is no step, or is given twice, is no edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateAnalysis {
    /// The steps, as they are written.
    pub nodes: Vec<TemplateStep>,
    /// A step and one that comes after it, by names.
    pub edges: Vec<(String, String)>,
    /// Every step after those that it depends on; empty if there are cycles.
    pub topological_order: Vec<String>,
    /// Elementary cycles in the direction of the edges, each beginning with the step that is written first.
    pub cycles: Vec<Vec<String>>,
    /// Whether these are all cycles.
    pub cycles_are_all: bool,
    /// Dependencies that are no steps.
    pub unknown_dependencies: Vec<UnknownDependency>,
    /// Names that several steps have.
    pub duplicate_names: Vec<String>,
    /// How far each step is from a root at most; empty if there are cycles.
    pub levels: Vec<(String, u32)>,
    /// Steps that depend on none.
    pub roots: Vec<String>,
    /// Steps that none depends on.
    pub leaves: Vec<String>,
    /// How many levels there are; 0 if there are cycles.
    pub depth: usize,
    /// How many steps the widest level has; 0 if there are cycles.
    pub widest_level: usize,
}

impl TemplateAnalysis {
    /// Analyses the steps of a template, and finds at most so many cycles.
    ///
    /// # Complexity
    ///
    /// O((V + E) log V), and O((V + E)(c + 1)) for c cycles.
    pub fn new(steps: impl IntoIterator<Item = TemplateStep>, most_cycles: usize) -> Self {
        let nodes: Vec<TemplateStep> = steps.into_iter().collect();
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut names: Vec<&str> = Vec::new();
        let mut duplicate_names = Vec::new();
        for node in &nodes {
            if numbers.contains_key(node.name.as_str()) {
                if !duplicate_names.contains(&node.name) {
                    duplicate_names.push(node.name.clone());
                }
                continue;
            }
            numbers.insert(&node.name, names.len());
            names.push(&node.name);
        }
        let mut unknown_dependencies = Vec::new();
        let mut pairs = Vec::new();
        let mut is_first = vec![true; names.len()];
        for node in &nodes {
            let to = numbers[node.name.as_str()];
            if !std::mem::replace(&mut is_first[to], false) {
                continue;
            }
            for dependency in &node.dependencies {
                match numbers.get(dependency.as_str()) {
                    Some(from) => pairs.push((*from, to)),
                    None => unknown_dependencies.push(UnknownDependency {
                        step: node.name.clone(),
                        dependency: dependency.clone(),
                    }),
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let children = Adjacency::new(names.len(), pairs.iter().copied());
        let parents = Adjacency::new(names.len(), pairs.iter().map(|(from, to)| (*to, *from)));
        let (cycles, cycles_are_all) = elementary_cycles(names.len(), &children, most_cycles);
        let named = |numbers: &mut dyn Iterator<Item = usize>| -> Vec<String> {
            numbers.map(|number| names[number].to_owned()).collect()
        };
        // Where there is no cycle nothing else is wrong any more, so a graph is what remains.
        let dag = Dag::build(&names, pairs.iter().copied()).ok();
        let levels = dag.as_ref().map_or(&[][..], Dag::levels);
        let depth = levels.iter().max().map_or(0, |deepest| *deepest as usize + 1);
        let mut width = vec![0; depth];
        for level in levels {
            width[*level as usize] += 1;
        }
        Self {
            edges: pairs
                .iter()
                .map(|(from, to)| (names[*from].to_owned(), names[*to].to_owned()))
                .collect(),
            topological_order: dag
                .as_ref()
                .map(|dag| named(&mut dag.topological_order().iter().copied()))
                .unwrap_or_default(),
            cycles: cycles
                .into_iter()
                .map(|cycle| named(&mut cycle.into_iter()))
                .collect(),
            cycles_are_all,
            unknown_dependencies,
            duplicate_names,
            levels: names
                .iter()
                .zip(levels)
                .map(|(name, level)| ((*name).to_owned(), *level))
                .collect(),
            roots: named(&mut (0..names.len()).filter(|step| parents.of(*step).is_empty())),
            leaves: named(&mut (0..names.len()).filter(|step| children.of(*step).is_empty())),
            depth,
            widest_level: width.into_iter().max().unwrap_or(0),
            nodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(steps: &[(&str, &[&str])]) -> TemplateAnalysis {
        let steps = steps
            .iter()
            .map(|(name, dependencies)| TemplateStep::new(*name, dependencies.iter().copied()));
        TemplateAnalysis::new(steps, 100)
    }

    #[test]
    fn a_sound_template_has_levels() {
        let found = template(&[("d", &["b", "c"]), ("a", &[]), ("b", &["a"]), ("c", &["a"])]);
        assert_eq!(found.topological_order, ["a", "b", "c", "d"]);
        assert_eq!(found.levels[0], ("d".to_owned(), 2));
        assert_eq!((found.depth, found.widest_level), (3, 2));
        assert_eq!(
            (&found.roots[..], &found.leaves[..]),
            (&["a".to_owned()][..], &["d".to_owned()][..])
        );
        assert!(found.cycles.is_empty() && found.cycles_are_all);
    }

    #[test]
    fn every_cycle_is_named_once_and_no_other_step_with_it() {
        let found = template(&[("a", &["b"]), ("b", &["a"]), ("c", &["a", "c"]), ("d", &["c"])]);
        assert_eq!(found.cycles, [vec!["a", "b"], vec!["c"]]);
        assert_eq!(found.leaves, ["d"]);
        assert!(found.topological_order.is_empty() && found.levels.is_empty());
    }

    #[test]
    fn what_is_unknown_or_written_twice_is_reported() {
        let found = template(&[("a", &["x", "b", "b"]), ("b", &[]), ("a", &["b"]), ("a", &[])]);
        let unknown = UnknownDependency {
            step: "a".to_owned(),
            dependency: "x".to_owned(),
        };
        assert_eq!(found.unknown_dependencies, [unknown]);
        assert_eq!(found.duplicate_names, ["a"]);
        assert_eq!(found.edges, [("b".to_owned(), "a".to_owned())]);
        assert_eq!(found.topological_order, ["b", "a"]);
        assert_eq!(found.nodes.len(), 4);
    }

    #[test]
    fn a_template_without_steps_has_nothing() {
        let found = template(&[]);
        assert_eq!((found.depth, found.widest_level, found.nodes.len()), (0, 0, 0));
    }
}
