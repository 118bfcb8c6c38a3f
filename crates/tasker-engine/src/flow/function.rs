//! Functions that run the steps of a workflow.

use async_trait::async_trait;
use serde::Serialize;

use crate::handler::{StepContext, StepError};
use crate::json::Json;
use crate::typed::{FromStep, to_json};

/// A function that can run a step of a [`Flow`](super::Flow): up to three arguments that are [`FromStep`], then the
/// results of the parents, to a result that serializes.
///
/// Implemented for functions only; `Arguments` tells them apart.
#[diagnostic::on_unimplemented(
    message = "this function cannot run a step whose declared parents result in `{Results}`",
    label = "reads other results than those of the parents it is declared with, or is no such function",
    note = "a step's function takes up to three of `StepContext`, `Context<T>` and `Config<T>`, then the results of the \
            declared parents as one value, in their order"
)]
#[async_trait]
pub trait FlowFn<Arguments, Results>: Send + Sync + 'static {
    /// What the step results in.
    type Output;

    /// Takes the arguments from the step and calls the function.
    async fn call(&self, ctx: StepContext, results: Results) -> Result<Json, StepError>;

    /// Checks a configuration for every argument.
    fn check_config(config: &serde_json::Value) -> Vec<String>;
}

macro_rules! flow_fn {
    ($($argument:ident),*) => {
        #[async_trait]
        impl<Function, Results, Output, Run, $($argument,)*> FlowFn<($($argument,)*), Results> for Function
        where
            Function: Fn($($argument,)* Results) -> Run + Send + Sync + 'static,
            Run: Future<Output = Result<Output, StepError>> + Send,
            Results: Send + 'static,
            Output: Serialize + Send,
            $($argument: FromStep + Send,)*
        {
            type Output = Output;

            async fn call(&self, ctx: StepContext, results: Results) -> Result<Json, StepError> {
                let run = {
                    let _ = &ctx;
                    self($($argument::from_step(&ctx)?,)* results)
                };
                to_json(&run.await?)
            }

            fn check_config(config: &serde_json::Value) -> Vec<String> {
                let _ = config;
                let checks: [Result<(), String>; _] = [$($argument::check_config(config)),*];
                checks.into_iter().filter_map(Result::err).collect()
            }
        }
    };
}

flow_fn!();
flow_fn!(A);
flow_fn!(A, B);
flow_fn!(A, B, C);
