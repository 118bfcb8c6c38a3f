#![doc = include_str!("../README.md")]

mod adjacency;
mod analysis;
mod build;
mod cycles;
mod dag;
mod draw;
mod error;
mod explain;
mod measured;
mod picture;
#[cfg(test)]
mod properties;
mod template;

pub use analysis::{
    Analysis, AnalysisError, Bottleneck, BottleneckType, Bottlenecks, CriticalPath, CriticalPaths, Degree,
    ErrorChain, ErrorChains, ExecutionSummary, Level, LiveAnalysis, OverallHealth, OverallImpact,
    Parallelism, PathBottleneck, PathReason, Recommendation, Recovery, RecoveryPriority, Resolution,
    ResolutionTime, RetryAnalysis, Severity, Step, Strategy, TaskDocument, TaskFacts, analyze,
};
pub use dag::Dag;
pub use draw::NodeLabel;
pub use error::DagError;
pub use explain::{
    Cause, Clears, Explainer, Explanation, Link, RootCause, StepCause, StepDetails, TaskExplanation,
};
pub use measured::{Arrival, Changed, Forecast, Spread, StepTimes, WhatIf, WhatIfError, forecast};
pub use picture::Page;
pub use template::{TemplateAnalysis, TemplateStep, UnknownDependency};

// What the signatures above are made of, so that this crate can be used alone.
pub use tasker_types::{
    DependencyGraphValues, GraphWeights, StepFacts, StepState, TaskContext, TaskState, Timestamp,
};
