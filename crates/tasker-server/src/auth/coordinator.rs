//! Deciding how far callers may.

use std::fmt;

use crate::access::{Permission, Reach};
use crate::guard::Caller;

/// Decides how far a permission of a caller reaches. What it does not say anything about is denied.
pub trait Coordinator: fmt::Debug + Send + Sync {
    /// Returns how far the permission reaches; by default to nothing.
    fn reach(&self, caller: &Caller, permission: Permission) -> Reach {
        let _ = (caller, permission);
        Reach::nothing()
    }
}

/// Permits nobody anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deny;

impl Coordinator for Deny {}
