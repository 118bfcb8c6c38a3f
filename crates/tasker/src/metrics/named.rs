//! Which tasks and steps have a name of their own among the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

use tasker_engine::Template;
use tasker_types::{Namespace, StepName, StepNo, TemplateName};

/// How many tasks, by namespace and name, have one.
const TASKS: usize = 200;
/// How many steps have one.
const STEPS: usize = 500;
/// The name of all others. Nothing can be called like that.
const OTHERS: &str = "(other)";

/// The names that were met first, as many as there may be. All others are counted together, so that templates that a program
/// makes as it runs do not make series without end.
#[derive(Debug, Default)]
pub(super) struct Named(RwLock<Names>);

#[derive(Debug, Default)]
struct Names {
    tasks: BTreeMap<Namespace, BTreeMap<TemplateName, BTreeSet<StepName>>>,
    task_count: usize,
    step_count: usize,
}

impl Named {
    /// Returns the labels of a task: those of others, if its template is not known.
    pub(super) fn task<'t>(&self, template: Option<&'t Template>) -> [&'t str; 2] {
        let Some(template) = template.filter(|template| self.has_task(template)) else {
            return [OTHERS; 2];
        };
        [template.namespace().as_str(), template.name().as_str()]
    }

    /// Returns the labels of a step.
    pub(super) fn step<'t>(&self, template: Option<&'t Template>, step: StepNo) -> [&'t str; 3] {
        let [namespace, task] = self.task(template);
        let name = template
            .filter(|_| task != OTHERS)
            .and_then(|template| Some((template, template.steps().get(step.0 as usize)?.name())))
            .filter(|(template, name)| self.has_step(template, name))
            .map_or(OTHERS, |(_, name)| name.as_str());
        [namespace, task, name]
    }

    fn has_task(&self, template: &Template) -> bool {
        let known = |names: &Names| names.steps_of(template).is_some();
        if known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return true;
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known(&names) {
            if names.task_count == TASKS {
                return false;
            }
            names.task_count += 1;
            let tasks = names.tasks.entry(template.namespace().clone()).or_default();
            tasks.entry(template.name().clone()).or_default();
        }
        true
    }

    fn has_step(&self, template: &Template, step: &StepName) -> bool {
        {
            let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let known = names.steps_of(template).is_some_and(|steps| steps.contains(step));
            if known || names.step_count == STEPS {
                return known;
            }
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if names.step_count == STEPS {
            return false;
        }
        let tasks = names.tasks.get_mut(template.namespace());
        let Some(steps) = tasks.and_then(|tasks| tasks.get_mut(template.name())) else {
            return false;
        };
        if steps.insert(step.clone()) {
            names.step_count += 1;
        }
        true
    }
}

impl Names {
    fn steps_of(&self, template: &Template) -> Option<&BTreeSet<StepName>> {
        self.tasks.get(template.namespace())?.get(template.name())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tasker_engine::StepBuilder;

    use super::*;

    fn template(name: &str, steps: usize) -> Arc<Template> {
        let mut builder = Template::builder(name);
        for step in 0..steps {
            builder = builder.step(StepBuilder::new(format!("step_{step}"), "sleep"));
        }
        builder.build().unwrap()
    }

    #[test]
    fn names_are_told_apart_until_there_are_too_many() {
        let named = Named::default();
        let wide = template("wide", STEPS + 2);
        let step = |number: usize| named.step(Some(&wide), StepNo(u32::try_from(number).unwrap()))[2];
        for number in 0..STEPS {
            assert_eq!(step(number), format!("step_{number}"));
        }
        assert_eq!(step(STEPS), OTHERS);
        assert_eq!(step(0), "step_0");
        for number in 1..TASKS {
            let task = template(&format!("task_{number}"), 1);
            let name = task.name().as_str().to_owned();
            // The names of steps are used up.
            assert_eq!(
                named.step(Some(&task), StepNo(0)),
                ["default_system", name.as_str(), OTHERS]
            );
        }
        let late = template("late", 1);
        assert_eq!(named.task(Some(&late)), [OTHERS; 2]);
        assert_eq!(named.step(Some(&late), StepNo(0)), [OTHERS; 3]);
        assert_eq!(named.task(Some(&wide)), ["default_system", "wide"]);
        assert_eq!(named.task(None), [OTHERS; 2]);
    }
}
