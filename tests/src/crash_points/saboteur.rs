//! The probe: notes what passes by, and has what is planned happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tasker_store::{Fault, Moment, Probe};

use super::play::Span;
use super::points::{Kind, Point};

/// A fault that is to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Where.
    pub point: Point,
    /// What.
    pub kind: Kind,
}

/// Notes which statements pass by, and has faults happen as they were planned.
#[derive(Debug, Default)]
pub struct Saboteur {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    deed: String,
    is_asleep: bool,
    /// What is still to happen, in order.
    plan: Vec<Planned>,
    happened: usize,
    counts: BTreeMap<(String, String), u32>,
    seen: Vec<Point>,
    statements: BTreeSet<String>,
    is_gate_shut: bool,
    /// How far a life goes in which things go wrong of which this does not know.
    outside: Option<Span>,
}

/// What is sent by connections that live beside the script, whatever it does at the moment.
const BESIDE: [&str; 2] = ["LISTEN ", "NOTIFY "];

/// Texts that name a schema of their own, up to the name.
const NAMING: [&str; 4] = ["LISTEN ", "NOTIFY ", "CREATE SCHEMA ", "SET "];

/// The beginning of a transaction, at which requests can be held up until others have come.
const BEGIN: [&str; 2] = ["BEGIN", "BEGIN IMMEDIATE"];

/// Returns the name of a statement, which is the same in every life.
fn name_of(statement: &str) -> &str {
    if NAMING.iter().any(|begin| statement.starts_with(begin)) {
        return statement.split('"').next().unwrap_or(statement);
    }
    statement
}

impl Saboteur {
    /// Returns one that has these faults happen, each after the one before.
    pub fn new(plan: Vec<Planned>) -> Self {
        let saboteur = Self::default();
        saboteur.state().plan = plan;
        saboteur
    }

    /// Returns one of a life in which anything may go wrong at any time, of which this does not know.
    pub fn outside(span: Span) -> Self {
        let saboteur = Self::default();
        saboteur.state().outside = Some(span);
        saboteur
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the script does from now on.
    pub fn begin(&self, deed: &str) {
        self.state().deed = deed.to_owned();
    }

    /// Tells whether the next fault may be one of what the script does now.
    pub fn is_next(&self) -> bool {
        let state = self.state();
        if state.outside.is_some() {
            return true;
        }
        state
            .plan
            .first()
            .is_some_and(|planned| planned.point.deed == state.deed)
    }

    /// Tells whether nothing is to happen any more, of what was planned.
    pub fn is_done(&self) -> bool {
        let state = self.state();
        state.outside == Some(Span::ToFinish) || (state.plan.is_empty() && state.happened > 0)
    }

    /// Returns how many faults happened.
    pub fn happened(&self) -> usize {
        self.state().happened
    }

    /// Returns the points that were passed, in order, and the statements as they were.
    pub fn seen(&self) -> (Vec<Point>, BTreeSet<String>) {
        let state = self.state();
        (state.seen.clone(), state.statements.clone())
    }

    /// Looks away, or looks again.
    pub fn sleep(&self, asleep: bool) {
        self.state().is_asleep = asleep;
    }

    /// Holds up the next transaction until the gate is opened.
    pub fn shut_gate(&self) {
        self.state().is_gate_shut = true;
    }

    /// Lets transactions begin.
    pub fn open_gate(&self) {
        self.state().is_gate_shut = false;
        self.opened.notify_all();
    }
}

impl Probe for Saboteur {
    fn pass(&self, statement: &str) -> Option<(Moment, Fault)> {
        let mut state = self.state();
        if state.is_asleep {
            return None;
        }
        if BEGIN.contains(&statement) {
            state = self
                .opened
                .wait_while(state, |state| state.is_gate_shut)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.statements.insert(statement.to_owned());
        let name = name_of(statement);
        let deed = if BESIDE.iter().any(|begin| name.starts_with(begin)) {
            String::new()
        } else {
            state.deed.clone()
        };
        let count = state.counts.entry((deed.clone(), name.to_owned())).or_default();
        *count += 1;
        let point = Point {
            deed,
            statement: name.to_owned(),
            occurrence: *count,
        };
        let fault = state.plan.first().filter(|planned| planned.point == point);
        let fault = fault.map(|planned| (planned.kind.moment(), planned.kind.fault()));
        if fault.is_some() {
            state.plan.remove(0);
            state.happened += 1;
        }
        state.seen.push(point);
        fault
    }
}
