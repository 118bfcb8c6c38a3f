//! Workflows in Rust whose steps are declared with the results that they read.
//!
//! A step gets the results of the steps that are given with it, typed, and of no others; so what a step waits for and
//! what it reads cannot differ, and reading the result of another step does not compile.

mod function;
mod parents;

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use tasker_types::Namespace;

pub use self::function::FlowFn;
pub use self::parents::FlowParents;
use crate::handler::{Done, StepContext, StepError, StepHandler};
use crate::template::{CheckedStep, StepBuilder, Template, TemplateBuilder, TemplateFault, TemplateFaults};

/// A workflow under construction: a template, and the functions that run its steps.
///
/// ```
/// use tasker_engine::{Flow, StepContext, StepError, Template};
///
/// let mut flow = Flow::new(Template::builder("report"));
/// let orders = flow.step("orders", (), async |()| Ok::<_, StepError>(vec![3_u64, 4]));
/// let sum = flow.step("sum", &orders, async |orders: Vec<u64>| {
///     Ok::<_, StepError>(orders.iter().sum::<u64>())
/// });
/// flow.step("mail", (&orders, &sum), async |ctx: StepContext, (orders, sum): (Vec<u64>, u64)| {
///     Ok::<_, StepError>(format!("{} orders, {sum} in all", orders.len()))
/// });
/// let template = flow.template()?;
/// assert_eq!(template.steps().len(), 3);
/// # Ok::<(), tasker_engine::TemplateFaults>(())
/// ```
///
/// A step that reads what it was not declared with does not compile:
///
/// ```compile_fail,E0277
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
///
/// Beside the results, which come last, a function takes what any handler does, up to three of
/// [`StepContext`](crate::StepContext), [`Context`](crate::Context) and [`Config`](crate::Config):
///
/// ```
/// use serde::Deserialize;
/// use tasker_engine::{Context, Flow, StepError, Template};
///
/// #[derive(Deserialize)]
/// struct Order { amount: f64 }
///
/// let mut flow = Flow::new(Template::builder("bill"));
/// let rate = flow.step("rate", (), async |()| Ok::<_, StepError>(0.2));
/// flow.step("tax", &rate, async |Context(order): Context<Order>, rate: f64| {
///     Ok::<_, StepError>(order.amount * rate)
/// });
/// # flow.template().unwrap();
/// ```
pub struct Flow {
    /// Tells workflows apart, by its address.
    identity: Arc<()>,
    template: TemplateBuilder,
    handlers: Vec<(String, String, Arc<dyn StepHandler>)>,
    faults: Vec<String>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.handlers.iter().map(|(_, name, _)| name).collect();
        f.debug_struct("Flow")
            .field("handlers", &names)
            .finish_non_exhaustive()
    }
}

/// A step of a [`Flow`], by which other steps of that workflow say that they read its result.
#[derive(Debug)]
pub struct FlowStep<Output> {
    flow: Arc<()>,
    name: String,
    output: PhantomData<fn() -> Output>,
}

impl<Output> FlowStep<Output> {
    /// Returns the step, whatever its result is.
    fn untyped(&self) -> FlowStep<()> {
        FlowStep {
            flow: Arc::clone(&self.flow),
            name: self.name.clone(),
            output: PhantomData,
        }
    }
}

impl<Output> Clone for FlowStep<Output> {
    fn clone(&self) -> Self {
        Self {
            flow: Arc::clone(&self.flow),
            name: self.name.clone(),
            output: PhantomData,
        }
    }
}

impl Flow {
    /// Begins a workflow with what its template has beside steps.
    pub fn new(template: TemplateBuilder) -> Self {
        Self {
            identity: Arc::new(()),
            template,
            handlers: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Adds a step that waits for others and is run by a function of their results.
    ///
    /// `parents` is `()`, a step, or a tuple of up to six; the results come in the same form, as the function's last
    /// argument. That of a parent which an operator resolved or bypassed without a result is `None` if it is read as an
    /// `Option`; else the step fails for good. Steps of another workflow are faults that [`template`](Self::template)
    /// tells. A name alone is a step of that name; a [`StepBuilder`] says more, and under the handler's name that it
    /// has the function is registered.
    pub fn step<After, Arguments, Function>(
        &mut self,
        step: impl Into<StepBuilder>,
        parents: After,
        function: Function,
    ) -> FlowStep<Function::Output>
    where
        After: FlowParents,
        After::Results: Send + 'static,
        Arguments: 'static,
        Function: FlowFn<Arguments, After::Results>,
    {
        let mut step = step.into();
        let name = step.name().to_owned();
        let (own, foreign): (Vec<_>, Vec<_>) = parents
            .steps()
            .into_iter()
            .partition(|parent| Arc::ptr_eq(&parent.flow, &self.identity));
        self.faults.extend(foreign.iter().map(|parent| {
            format!(
                "step `{name}` reads the result of `{}`, which is a step of another workflow; pass a step that this \
                 `Flow` returned",
                parent.name
            )
        }));
        let parents: Vec<String> = own.into_iter().map(|parent| parent.name).collect();
        step = step.depends_on(parents.clone());
        let handler = step.handler().to_owned();
        if let Some((other, ..)) = self.handlers.iter().find(|(_, known, _)| *known == handler) {
            self.faults.push(format!(
                "steps `{other}` and `{name}` both name the handler `{handler}`, but each step of a workflow has a \
                 function of its own; give `{name}` another name for its handler"
            ));
        }
        let run = FlowHandler {
            parents,
            read: After::read,
            function,
            arguments: PhantomData,
        };
        self.handlers.push((name.clone(), handler, Arc::new(run)));
        self.template = self.template.clone().step(step);
        FlowStep {
            flow: Arc::clone(&self.identity),
            name,
            output: PhantomData,
        }
    }

    /// Checks everything and returns the template.
    ///
    /// # Errors
    ///
    /// All faults of the template, and those of the workflow under the code `invalid_flow`.
    pub fn template(&self) -> Result<Arc<Template>, TemplateFaults> {
        let template = self.template.clone().build();
        if self.faults.is_empty() {
            return template;
        }
        let own = self.faults.iter().map(|message| TemplateFault {
            file: None,
            line: None,
            code: "invalid_flow",
            message: message.clone(),
        });
        let rest = template.err().into_iter();
        Err(own
            .chain(rest.flat_map(|faults| faults.as_slice().to_vec()))
            .collect())
    }

    /// Returns the namespace in which the template looks handlers up.
    pub fn namespace(&self) -> String {
        let declared = self.template.declared_namespace().map(str::to_owned);
        declared.unwrap_or_else(|| Namespace::default().to_string())
    }

    /// Returns the handlers of the steps, each with the name under which the template looks it up.
    pub fn handlers(&self) -> impl Iterator<Item = (&str, Arc<dyn StepHandler>)> {
        let handlers = self.handlers.iter();
        handlers.map(|(_, name, handler)| (name.as_str(), Arc::clone(handler)))
    }
}

struct FlowHandler<Results, Function, Arguments> {
    parents: Vec<String>,
    read: fn(&StepContext, &[String]) -> Result<Results, StepError>,
    function: Function,
    arguments: PhantomData<fn(Arguments)>,
}

#[async_trait]
impl<Results, Function, Arguments> StepHandler for FlowHandler<Results, Function, Arguments>
where
    Results: Send + 'static,
    Arguments: 'static,
    Function: FlowFn<Arguments, Results>,
{
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let results = (self.read)(&ctx, &self.parents)?;
        self.function.call(ctx, results).await.map(Done::Result)
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        let faults = Function::check_config(step.config);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
