//! The resources, each with its routes and the JSON that they take and give.

pub(crate) mod handlers;
