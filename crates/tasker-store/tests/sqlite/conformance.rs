//! Every fact that holds for every store, with the writer in the test's thread and on its own.

mod inline {
    tasker_testkit::conformance!(crate::open);
}

mod threaded {
    tasker_testkit::conformance!(crate::open_threaded);
}
