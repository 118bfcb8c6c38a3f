//! The steps that a step of a workflow reads.

use serde::de::DeserializeOwned;

use super::FlowStep;
use crate::failure::Failure;
use crate::handler::{StepContext, StepError};
use crate::json::Json;

/// The steps that a step of a [`Flow`](super::Flow) waits for: none, one, or up to six.
pub trait FlowParents {
    /// Their results, in the form in which the steps are given.
    type Results;

    /// Returns the steps.
    fn steps(&self) -> Vec<FlowStep<()>>;

    /// Reads the results of the parents of these names.
    ///
    /// # Errors
    ///
    /// When a result does not fit its type; the error is permanent.
    fn read(ctx: &StepContext, names: &[String]) -> Result<Self::Results, StepError>;
}

impl<T: DeserializeOwned> FlowParents for &FlowStep<T> {
    type Results = T;

    fn steps(&self) -> Vec<FlowStep<()>> {
        vec![self.untyped()]
    }

    fn read(ctx: &StepContext, names: &[String]) -> Result<T, StepError> {
        result(ctx, names, 0)
    }
}

impl FlowParents for () {
    type Results = ();

    fn steps(&self) -> Vec<FlowStep<()>> {
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

            fn steps(&self) -> Vec<FlowStep<()>> {
                vec![$(self.$index.untyped()),+]
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

/// Reads the result of one of the parents; one without a result reads as an option that is empty.
fn result<T: DeserializeOwned>(ctx: &StepContext, names: &[String], index: usize) -> Result<T, StepError> {
    let name = names.get(index).map_or("", String::as_str);
    match ctx.parent_result(name) {
        Some(result) => ctx.read(&format!("result of `{name}` does"), &result),
        None => Json::null().to().map_err(|_| {
            let message = format!(
                "step `{}` cannot do without the result of `{name}`, which was resolved without one; resolve `{name}` \
                 with a result, or read it as an `Option`",
                ctx.step_name()
            );
            StepError::permanent(Failure::INPUT_REJECTED, message)
        }),
    }
}
