//! Workflows in Rust whose steps are declared with the results that they read.
//!
//! A step gets the results of the steps that are given with it, typed, and nothing else; so what a step waits for and
//! what it reads cannot differ, and reading the result of another step does not compile.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::{Done, StepContext, StepError, StepHandler};
use crate::json::Json;
use crate::template::{StepBuilder, Template, TemplateBuilder, TemplateFaults};
use crate::typed::to_json;
use tasker_types::Namespace;

/// A workflow under construction: a template, and the functions that run its steps.
///
/// ```
/// use tasker_engine::{Flow, StepContext, StepError, Template};
///
/// let mut flow = Flow::new(Template::builder("report"));
/// let orders = flow.step("orders", (), async |_: StepContext, ()| Ok::<_, StepError>(vec![3_u64, 4]));
/// let sum = flow.step("sum", &orders, async |_: StepContext, orders: Vec<u64>| {
///     Ok::<_, StepError>(orders.iter().sum::<u64>())
/// });
/// flow.step("mail", (&orders, &sum), async |_: StepContext, (orders, sum): (Vec<u64>, u64)| {
///     Ok::<_, StepError>(format!("{} orders, {sum} in all", orders.len()))
/// });
/// let template = flow.template()?;
/// assert_eq!(template.steps().len(), 3);
/// # Ok::<(), tasker_engine::TemplateFaults>(())
/// ```
///
/// A step that reads what it was not declared with does not compile:
///
/// ```compile_fail,E0631
/// use tasker_engine::{Flow, StepContext, StepError, Template};
///
/// let mut flow = Flow::new(Template::builder("report"));
/// let orders = flow.step("orders", (), async |_: StepContext, ()| Ok::<_, StepError>(vec![3_u64, 4]));
/// let sum = flow.step("sum", &orders, async |_: StepContext, orders: Vec<u64>| {
///     Ok::<_, StepError>(orders.iter().sum::<u64>())
/// });
/// flow.step("mail", &orders, async |_: StepContext, (orders, sum): (Vec<u64>, u64)| {
///     Ok::<_, StepError>(format!("{} orders, {sum} in all", orders.len()))
/// });
/// ```
#[derive(Clone)]
pub struct Flow {
    template: TemplateBuilder,
    handlers: Vec<(String, Arc<dyn StepHandler>)>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.handlers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Flow")
            .field("handlers", &names)
            .finish_non_exhaustive()
    }
}

/// A step of a [`Flow`], by which other steps say that they read its result.
#[derive(Debug)]
pub struct FlowStep<Output> {
    name: String,
    output: PhantomData<fn() -> Output>,
}

impl<Output> Clone for FlowStep<Output> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            output: PhantomData,
        }
    }
}

impl Flow {
    /// Begins a workflow with what its template has beside steps.
    pub fn new(template: TemplateBuilder) -> Self {
        Self {
            template,
            handlers: Vec::new(),
        }
    }

    /// Adds a step that waits for others and is run by a function of their results.
    ///
    /// `parents` is `()`, a step, or a tuple of up to six; the results come in the same form. They must be steps of this
    /// flow. A name alone is a step of that name; a [`StepBuilder`] says more, and under the handler's name that it
    /// has the function is registered.
    pub fn step<After, Function, Run, Output>(
        &mut self,
        step: impl Into<StepBuilder>,
        parents: After,
        function: Function,
    ) -> FlowStep<Output>
    where
        After: FlowParents,
        After::Results: Send + 'static,
        Function: Fn(StepContext, After::Results) -> Run + Send + Sync + 'static,
        Run: Future<Output = Result<Output, StepError>> + Send + 'static,
        Output: Serialize + Send + 'static,
    {
        let parents = parents.names();
        let step = step.into().depends_on(parents.clone());
        let name = step.name().to_owned();
        let handler = FlowHandler {
            parents,
            read: After::read,
            function,
        };
        self.handlers.push((step.handler().to_owned(), Arc::new(handler)));
        self.template = self.template.clone().step(step);
        FlowStep {
            name,
            output: PhantomData,
        }
    }

    /// Checks everything and returns the template.
    ///
    /// # Errors
    ///
    /// All faults.
    pub fn template(&self) -> Result<Arc<Template>, TemplateFaults> {
        self.template.clone().build()
    }

    /// Returns the namespace in which the template looks handlers up.
    pub fn namespace(&self) -> String {
        let declared = self.template.declared_namespace().map(str::to_owned);
        declared.unwrap_or_else(|| Namespace::default().to_string())
    }

    /// Returns the handlers of the steps, each with the name under which the template looks it up.
    pub fn handlers(&self) -> impl Iterator<Item = (&str, Arc<dyn StepHandler>)> {
        let handlers = self.handlers.iter();
        handlers.map(|(name, handler)| (name.as_str(), Arc::clone(handler)))
    }
}

/// The steps that a step of a [`Flow`] waits for: none, one, or up to six.
pub trait FlowParents {
    /// Their results, in the form in which the steps are given.
    type Results;

    /// Returns their names.
    fn names(&self) -> Vec<String>;

    /// Reads the results of the parents of these names.
    ///
    /// # Errors
    ///
    /// When a result does not fit its type; the error is permanent.
    fn read(ctx: &StepContext, names: &[String]) -> Result<Self::Results, StepError>;
}

impl<T: DeserializeOwned> FlowParents for &FlowStep<T> {
    type Results = T;

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn read(ctx: &StepContext, names: &[String]) -> Result<T, StepError> {
        result(ctx, names, 0)
    }
}

impl FlowParents for () {
    type Results = ();

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn read(_: &StepContext, _: &[String]) -> Result<(), StepError> {
        Ok(())
    }
}

macro_rules! flow_parents {
    ($($output:ident $index:tt),+) => {
        impl<$($output: DeserializeOwned),+> FlowParents for ($(&FlowStep<$output>,)+) {
            type Results = ($($output,)+);

            fn names(&self) -> Vec<String> {
                vec![$(self.$index.name.clone()),+]
            }

            fn read(ctx: &StepContext, names: &[String]) -> Result<Self::Results, StepError> {
                Ok(($(result::<$output>(ctx, names, $index)?,)+))
            }
        }
    };
}

flow_parents!(A 0);
flow_parents!(A 0, B 1);
flow_parents!(A 0, B 1, C 2);
flow_parents!(A 0, B 1, C 2, D 3);
flow_parents!(A 0, B 1, C 2, D 3, E 4);
flow_parents!(A 0, B 1, C 2, D 3, E 4, F 5);

/// Reads the result of one of the parents; that of one without a result is null.
fn result<T: DeserializeOwned>(ctx: &StepContext, names: &[String], index: usize) -> Result<T, StepError> {
    let name = names.get(index).map_or("", String::as_str);
    let result = ctx.parent(name).unwrap_or_else(Json::null);
    ctx.read(&format!("result of `{name}` does"), &result)
}

struct FlowHandler<Results, Function> {
    parents: Vec<String>,
    read: fn(&StepContext, &[String]) -> Result<Results, StepError>,
    function: Function,
}

#[async_trait]
impl<Results, Function, Run, Output> StepHandler for FlowHandler<Results, Function>
where
    Results: Send + 'static,
    Function: Fn(StepContext, Results) -> Run + Send + Sync + 'static,
    Run: Future<Output = Result<Output, StepError>> + Send + 'static,
    Output: Serialize + Send + 'static,
{
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let results = (self.read)(&ctx, &self.parents)?;
        let output = (self.function)(ctx, results).await?;
        to_json(&output).map(Done::Result)
    }
}
