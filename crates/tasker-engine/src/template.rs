//! Templates: named, versioned DAGs of steps.
//!
//! A [`Template`] that exists is valid. It comes from a YAML or JSON file, from code, or from a store; all three go
//! through the same checks, and a file's faults come in one report.

mod canonical;
mod check;
mod context;
mod defaults;
mod document;
mod events;
mod faults;
mod load;
mod model;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use canonical::canonical_json;
pub use check::{CheckHandler, CheckedStep, HandlerProblem, UnknownHandlers};
pub use context::ContextFaults;
pub(crate) use context::check_form;
pub use faults::{TemplateFault, TemplateFaults};
pub use load::{LoadOptions, Loaded};
pub use model::{StepBuilder, StepTemplate, Template, TemplateBuilder};
pub use schema::template_schema;
