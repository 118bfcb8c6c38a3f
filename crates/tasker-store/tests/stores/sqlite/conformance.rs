//! Every fact that holds for every store, with the writer in the test's thread and on its own.

mod inline {
    tasker_testkit::conformance!(crate::sqlite::open);
}

mod threaded {
    tasker_testkit::conformance!(crate::sqlite::open_threaded);
}
