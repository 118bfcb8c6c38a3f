//! What the service says of its own health, and to whom.

use super::{Bounds, Check, section, table};

table! {
    /// The values of [`Health`].
    HealthValues {
        /// Whether who asks for `/health/status` must say who they are and have the permission `tasker.health_status:index`.
        status_requires_authentication: bool = true,
        /// Whether who asks for `/health/ready` must do so, too.
        ready_requires_authentication: bool = false,
        /// Seconds that the database may take to answer before the service says that it is not ready.
        readiness_timeout_seconds: f64 = 5.0; in Bounds::above(0.0).at_most(3_600.0),
        /// Seconds for which the counts of `/health/status` are kept.
        cache_duration_seconds: f64 = 15.0; in Bounds::above(0.0).at_most(86_400.0),
    }
}

section! {
    /// What the service says of its own health, and to whom.
    Health(HealthValues) in "health"
}

impl HealthValues {
    fn check(&self, _: &mut Check) {}
}
