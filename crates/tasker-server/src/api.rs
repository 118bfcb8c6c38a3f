//! The resources, each with its routes and the JSON that they take and give.

pub(crate) mod bulk;
pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod filter;
mod forms;
pub(crate) mod handlers;
pub(crate) mod list;
pub(crate) mod look;
pub(crate) mod steps;
pub(crate) mod tasks;
mod views;
