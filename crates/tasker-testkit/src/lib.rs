#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    reason = "a test kit reports what is wrong by panicking in the test that uses it"
)]

mod accepts;
mod canonical;
mod clock;
mod cluster;
mod conformance;
mod faulty;
mod harness;
mod outcome;
mod plan;
mod random;
pub mod shapes;
mod tokens;
mod view;
mod workshop;

pub use accepts::{Everything, Only};
pub use canonical::canonical_task;
pub use clock::ManualClock;
pub use cluster::{Cluster, Durability};
pub use conformance::{Case, cases, run};
pub use faulty::{Fault, FaultCounts, Faults, FaultyStore};
pub use harness::Harness;
pub use outcome::{
    fail, fail_permanently, interrupt, release, succeed, succeed_creating, succeed_with, suspend,
};
pub use plan::{Mishap, Plan};
pub use random::{Appetite, random_operations};
pub use tokens::run_tokens;
pub use view::TaskView;
pub use workshop::{Workshop, WorkshopBuilder, virtual_time};

// What is tested, so that a test needs this crate alone.
pub use tasker_engine as engine;
pub use tasker_types as types;
