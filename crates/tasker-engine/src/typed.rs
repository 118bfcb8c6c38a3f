//! Handlers that are functions of typed input.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tasker_engine::{Config, Context, Parents, StepError, handler};
//!
//! #[derive(Deserialize)]
//! struct Order { amount: u64 }
//! #[derive(Deserialize)]
//! struct Rates { fetch_rate: f64 }
//! #[derive(Serialize)]
//! struct Priced { total: f64 }
//!
//! async fn price(Context(order): Context<Order>, Parents(rates): Parents<Rates>) -> Result<Priced, StepError> {
//!     Ok(Priced { total: order.amount as f64 * rates.fetch_rate })
//! }
//!
//! let price = handler(price);
//! ```

mod fields;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::handler::{Done, StepContext, StepError, StepHandler, StopPolicy};
use crate::json::Json;
use crate::template::CheckedStep;

/// Something that a handler can take as an argument.
pub trait FromStep: Sized {
    /// Takes it from the step.
    ///
    /// # Errors
    ///
    /// When the step has nothing that fits; the error is permanent.
    fn from_step(ctx: &StepContext) -> Result<Self, StepError>;

    /// Checks a configuration when its template is loaded.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn check_config(config: &serde_json::Value) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// Returns the parents whose results it cannot do without; a template whose step does not wait for them is refused.
    fn required_parents() -> Vec<&'static str> {
        Vec::new()
    }
}

/// The task's context, read as a type.
#[derive(Clone, Debug)]
pub struct Context<T>(pub T);

/// The results of the step's parents, read as a type whose fields are named like the parents.
///
/// A template in which the step does not wait for one of them is refused. A field that is an `Option` may name a step
/// that is no parent; so may every key of a map.
#[derive(Clone, Debug)]
pub struct Parents<T>(pub T);

/// The step's configuration, read as a type. A template whose configuration does not fit is refused.
#[derive(Clone, Debug)]
pub struct Config<T>(pub T);

impl<T: DeserializeOwned> FromStep for Context<T> {
    fn from_step(ctx: &StepContext) -> Result<Self, StepError> {
        ctx.read("task's context does", ctx.context()).map(Self)
    }
}

impl<T: DeserializeOwned> FromStep for Parents<T> {
    fn from_step(ctx: &StepContext) -> Result<Self, StepError> {
        ctx.read("results of the parents do", &ctx.parents_object())
            .map(Self)
    }

    fn required_parents() -> Vec<&'static str> {
        fields::required_fields::<T>()
    }
}

impl<T: DeserializeOwned> FromStep for Config<T> {
    fn from_step(ctx: &StepContext) -> Result<Self, StepError> {
        ctx.read("configuration does", &Json::from(&ctx.config()))
            .map(Self)
    }

    fn check_config(config: &serde_json::Value) -> Result<(), String> {
        T::deserialize(config)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

impl FromStep for StepContext {
    fn from_step(ctx: &StepContext) -> Result<Self, StepError> {
        Ok(ctx.clone())
    }
}

/// A function that can be a handler: up to four arguments that are [`FromStep`], to a result that serializes.
///
/// Implemented for functions only; `Arguments` tells them apart.
#[async_trait]
pub trait HandlerFn<Arguments>: Send + Sync + 'static {
    /// Takes the arguments from the step and calls the function.
    async fn call(&self, ctx: StepContext) -> Result<Json, StepError>;

    /// Checks a configuration for every argument.
    fn check_config(config: &serde_json::Value) -> Vec<String>;

    /// Returns the parents whose results the arguments cannot do without.
    fn required_parents() -> Vec<&'static str>;
}

pub(crate) fn to_json<T: Serialize>(result: &T) -> Result<Json, StepError> {
    Json::of(result).map_err(|error| {
        StepError::permanent(
            Failure::RESULT_REJECTED,
            format!("the result cannot be written as JSON: {error}"),
        )
    })
}

macro_rules! handler_fn {
    ($($argument:ident),*) => {
        #[async_trait]
        impl<Function, Output, Run, $($argument,)*> HandlerFn<($($argument,)*)> for Function
        where
            Function: Fn($($argument),*) -> Run + Send + Sync + 'static,
            Run: Future<Output = Result<Output, StepError>> + Send,
            Output: Serialize + Send,
            $($argument: FromStep + Send,)*
        {
            async fn call(&self, ctx: StepContext) -> Result<Json, StepError> {
                let run = {
                    let _ = &ctx;
                    self($($argument::from_step(&ctx)?),*)
                };
                to_json(&run.await?)
            }

            fn check_config(config: &serde_json::Value) -> Vec<String> {
                let _ = config;
                let checks: [Result<(), String>; _] = [$($argument::check_config(config)),*];
                checks.into_iter().filter_map(Result::err).collect()
            }

            fn required_parents() -> Vec<&'static str> {
                let parents: [Vec<&'static str>; _] = [$($argument::required_parents()),*];
                parents.concat()
            }
        }
    };
}

handler_fn!();
handler_fn!(A);
handler_fn!(A, B);
handler_fn!(A, B, C);
handler_fn!(A, B, C, D);

struct TypedHandler<Function, Arguments> {
    function: Function,
    arguments: PhantomData<fn(Arguments)>,
}

#[async_trait]
impl<Function, Arguments> StepHandler for TypedHandler<Function, Arguments>
where
    Function: HandlerFn<Arguments>,
    Arguments: 'static,
{
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        self.function.call(ctx).await.map(Done::Result)
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        let faults = Function::check_config(step.config);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn required_parents(&self) -> Vec<&'static str> {
        Function::required_parents()
    }
}

/// Makes a handler of an async function.
///
/// The function takes up to four of [`Context`], [`Parents`], [`Config`] and [`StepContext`], in any order, and
/// returns a result that serializes or a [`StepError`]. It is stopped by dropping its future.
pub fn handler<Arguments: 'static>(function: impl HandlerFn<Arguments>) -> Arc<dyn StepHandler> {
    Arc::new(TypedHandler {
        function,
        arguments: PhantomData,
    })
}

struct BlockingHandler<Function>(Arc<Function>);

#[async_trait]
impl<Function, Output> StepHandler for BlockingHandler<Function>
where
    Function: Fn(StepContext) -> Result<Output, StepError> + Send + Sync + 'static,
    Output: Serialize + 'static,
{
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let function = Arc::clone(&self.0);
        let run = tokio::task::spawn_blocking(move || function(ctx).and_then(|result| to_json(&result)));
        match run.await {
            Ok(result) => result.map(Done::Result),
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(stopped) => Err(stopped.into()),
            },
        }
    }

    fn stop_policy(&self) -> StopPolicy {
        StopPolicy::UntilReturn
    }
}

/// Makes a handler of a function that blocks its thread.
///
/// It cannot be stopped from outside: it should look at [`StepContext::stop`] from time to time, and keeps its slot
/// until it returns.
pub fn blocking<Function, Output>(function: Function) -> Arc<dyn StepHandler>
where
    Function: Fn(StepContext) -> Result<Output, StepError> + Send + Sync + 'static,
    Output: Serialize + 'static,
{
    Arc::new(BlockingHandler(Arc::new(function)))
}
