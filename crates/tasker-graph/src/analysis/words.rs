//! The closed sets of words that an analysis answers with.

use serde::Serialize;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Returns the word as every output spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// How severe a bottleneck or an error is, by the thresholds of the weights; the least severe first.
    Severity {
        /// Below all thresholds.
        Low = "Low",
        /// From the lowest threshold on.
        Medium = "Medium",
        /// From the middle one on.
        High = "High",
        /// From the highest one on.
        Critical = "Critical",
    }
}

words! {
    /// How much of a thing there is.
    Degree {
        /// Little or none.
        Low = "Low",
        /// Some.
        Medium = "Medium",
        /// Much.
        High = "High",
    }
}

words! {
    /// Why a step holds others up: the first that applies.
    BottleneckType {
        /// It was cancelled.
        Cancelled = "Cancelled",
        /// It may not be tried again.
        PermanentFailure = "Permanent Failure",
        /// It is in error and will be tried again.
        ActiveError = "Active Error",
        /// It waits for a parent.
        DependencyBlock = "Dependency Block",
        /// It has been tried several times.
        RepeatedRetries = "Repeated Retries",
    }
}

words! {
    /// What to do about a bottleneck.
    Resolution {
        /// It was cancelled.
        ResetOrResolve = "Reset or resolve the step",
        /// It may not be tried again.
        Intervene = "Manual intervention required",
        /// It waits for a parent.
        CheckUpstream = "Check upstream dependencies",
        /// It waits for its time.
        WaitForBackoff = "Wait for backoff period",
        /// It is in error and due.
        Investigate = "Investigate error cause",
        /// Nothing of these.
        MonitorRetries = "Monitor retry attempts",
    }
}

words! {
    /// How far the bottlenecks hold the task up.
    OverallImpact {
        /// Nothing does but healthy parents.
        None = "None",
        /// Little.
        Low = "Low",
        /// Somewhat.
        Medium = "Medium",
        /// Much.
        High = "High",
        /// Most of it stands still.
        Severe = "Severe",
    }
}

words! {
    /// A way out of an error.
    Strategy {
        /// A person resolves the step or gives it its attempts back.
        ManualResolution = "Manual Resolution",
        /// More attempts may help.
        IncreaseRetryLimit = "Increase Retry Limit",
        /// A person finds out what is wrong.
        InvestigateRootCause = "Investigate Root Cause",
        /// It is tried again at its time.
        WaitForBackoff = "Wait for Backoff",
        /// It is tried again as soon as a worker takes it.
        MonitorRetries = "Monitor Retries",
    }
}

words! {
    /// How the execution of a task fares.
    OverallHealth {
        /// Nothing is critical and nothing High.
        Healthy = "healthy",
        /// A bottleneck is High.
        Warning = "warning",
        /// A bottleneck is Critical, or a step in error stays there without a person.
        Critical = "critical",
    }
}

words! {
    /// Something to do about a task.
    Recommendation {
        /// There are critical bottlenecks.
        ClearBottlenecks = "Clear the critical bottlenecks: the steps after them cannot start",
        /// There are steps in error.
        ResolveErrors = "Look after the steps in error before more steps come to wait for them",
        /// Few levels have several steps that can start.
        WidenParallelism = "Review the dependencies: few levels have several steps that can run side by side",
        /// None of these.
        Nothing = "Nothing to do: the task is well",
    }
}

words! {
    /// Why a step on a path is listed as holding it up.
    PathReason {
        /// A parent is not done.
        DependenciesNotSatisfied = "Dependencies not satisfied",
        /// Its attempts are used up.
        ExhaustedRetries = "Exhausted retries",
        /// It may not be tried again for another reason.
        NotRetryable = "Not retryable",
        /// It waits for its time.
        InBackoff = "In backoff period",
        /// It was cancelled.
        Cancelled = "Cancelled",
        /// A worker has it.
        Running = "Running",
        /// The task has ended.
        TaskNotActive = "Task is not active",
        /// It can start.
        NotBlocked = "Not blocked (ready for execution)",
    }
}
