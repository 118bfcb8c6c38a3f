//! Every fact that holds for every store.

tasker_testkit::conformance!(crate::postgres::open);
