#![doc = include_str!("../README.md")]

mod adjacency;
mod analysis;
mod build;
mod cycles;
mod dag;
mod draw;
mod error;
#[cfg(test)]
mod properties;

pub use analysis::{
    Analysis, AnalysisError, Bottleneck, BottleneckType, Bottlenecks, CriticalPath, CriticalPaths, Degree,
    ErrorChain, ErrorChains, ExecutionSummary, Level, LiveAnalysis, OverallHealth, OverallImpact,
    Parallelism, PathBottleneck, PathReason, Recommendation, Recovery, RecoveryPriority, Resolution,
    ResolutionTime, RetryAnalysis, Severity, Step, Strategy, TaskDocument, TaskFacts, analyze,
};
pub use dag::Dag;
pub use draw::NodeLabel;
pub use error::DagError;

// What the signatures above are made of, so that this crate can be used alone.
pub use tasker_types::{
    DependencyGraphValues, GraphWeights, StepFacts, StepState, TaskContext, TaskState, Timestamp,
};
