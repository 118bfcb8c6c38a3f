//! Which faults there are to try.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tasker_store::{Fault, Moment};

use super::ground::Place;
use super::saboteur::Planned;

/// A statement in the life of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Point {
    /// What the script does; nothing for what connections do beside it.
    pub deed: String,
    /// The statement, as its SQL.
    pub statement: String,
    /// Which of these statements it is while the script does that, from 1.
    pub occurrence: u32,
}

impl Point {
    fn is_commit(&self) -> bool {
        self.statement == "COMMIT"
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.statement.split_whitespace().collect();
        let mut text: String = words.join(" ").chars().take(100).collect();
        if text.len() < words.join(" ").len() {
            text.push('…');
        }
        let Self { deed, occurrence, .. } = self;
        write!(f, "`{text}` ({occurrence}) of `{deed}`")
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An error instead of the statement.
    ErrorBefore,
    /// An error after it.
    ErrorAfter,
    /// The connection is dropped before it.
    DropBefore,
    /// The connection is dropped after it.
    DropAfter,
    /// It is carried out, and its answer is lost with the connection.
    AnswerLost,
    /// The process is aborted before it.
    AbortBefore,
    /// The process is aborted after it.
    AbortAfter,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::DropBefore,
        Self::DropAfter,
        Self::AnswerLost,
        Self::AbortBefore,
        Self::AbortAfter,
    ];

    /// Returns when it happens.
    pub fn moment(self) -> Moment {
        match self {
            Self::ErrorBefore | Self::DropBefore | Self::AbortBefore => Moment::Before,
            Self::ErrorAfter | Self::DropAfter | Self::AnswerLost | Self::AbortAfter => Moment::After,
        }
    }

    /// Returns what the store is told to do.
    pub fn fault(self) -> Fault {
        match self {
            Self::ErrorBefore | Self::ErrorAfter => Fault::Error,
            Self::DropBefore | Self::DropAfter => Fault::Drop,
            Self::AnswerLost => Fault::LoseAnswer,
            Self::AbortBefore | Self::AbortAfter => Fault::Abort,
        }
    }

    /// Tells whether the process ends.
    pub fn aborts(self) -> bool {
        self.fault() == Fault::Abort
    }

    /// Tells whether a database can do that, and whether it differs from the rest.
    fn is_possible(self, place: Place, point: &Point) -> bool {
        let is_commit = point.is_commit();
        match self {
            // A server that has committed answers with no error: it answers, or the connection is over.
            Self::ErrorAfter => place == Place::Sqlite || !is_commit,
            // Within a transaction that ends with the connection the answer tells nothing.
            Self::AnswerLost => {
                let writes = ["INSERT", "UPDATE", "DELETE", "WITH"];
                let is_write = writes.iter().any(|verb| point.statement.starts_with(verb));
                is_commit || (place == Place::Postgres && is_write)
            }
            _ => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ErrorBefore => "an error before",
            Self::ErrorAfter => "an error after",
            Self::DropBefore => "the connection dropped before",
            Self::DropAfter => "the connection dropped after",
            Self::AnswerLost => "the answer lost of",
            Self::AbortBefore => "the process aborted before",
            Self::AbortAfter => "the process aborted after",
        })
    }
}

/// What goes wrong in one life: faults, each after the one before.
pub type Plan = Vec<Planned>;

/// Which plans are wanted of all that there are.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// In how many parts of the script a statement fails that is no commit: the first ones that have it. A commit fails in
    /// each.
    pub deeds: usize,
    /// How many of the same statements in the same part.
    pub occurrences: u32,
    /// Only points whose part or statement contains this text.
    pub text: Option<String>,
    /// One of so many, evenly.
    pub one_of: usize,
}

impl Wanted {
    /// Returns the points that are wanted, in order, each once.
    fn of<'p>(&self, seen: impl IntoIterator<Item = &'p Point>) -> Vec<&'p Point> {
        let mut deeds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut points = BTreeSet::new();
        let is_wanted = |point: &&'p Point| {
            let point: &'p Point = point;
            let named = self
                .text
                .as_ref()
                .is_none_or(|text| point.deed.contains(text) || point.statement.contains(text));
            let deeds = deeds.entry(&point.statement).or_default();
            deeds.insert(&point.deed);
            named && point.occurrence <= self.occurrences && (deeds.len() <= self.deeds || point.is_commit())
        };
        let mut wanted: Vec<&Point> = seen.into_iter().filter(is_wanted).collect();
        wanted.retain(|point| points.insert(*point));
        wanted
    }
}

/// Returns the faults that a point can meet.
fn kinds(place: Place, point: &Point) -> impl Iterator<Item = Planned> {
    let kinds = Kind::ALL
        .into_iter()
        .filter(move |kind| kind.is_possible(place, point));
    kinds.map(|kind| Planned {
        point: point.clone(),
        kind,
    })
}

/// Returns one plan for each point and each kind of fault.
pub fn plans(place: Place, seen: &[Point], wanted: &Wanted) -> Vec<Plan> {
    let points = wanted.of(seen).into_iter();
    let planned = points
        .flat_map(|point| kinds(place, point))
        .map(|planned| vec![planned]);
    planned.step_by(wanted.one_of.max(1)).collect()
}

/// Returns plans for the statements that come only after a fault: after the first fault that led to each, it meets every
/// kind itself.
pub fn second(place: Place, known: &[Point], lives: &[(Plan, Vec<Point>)], wanted: &Wanted) -> Vec<Plan> {
    let known: BTreeSet<&str> = known.iter().map(|point| point.statement.as_str()).collect();
    let mut first: BTreeMap<&str, (&Plan, &Point)> = BTreeMap::new();
    for (plan, seen) in lives {
        for point in wanted.of(seen) {
            if !known.contains(point.statement.as_str()) {
                first.entry(&point.statement).or_insert((plan, point));
            }
        }
    }
    let planned = first.into_values().flat_map(|(plan, point)| {
        kinds(place, point).map(|planned| plan.iter().cloned().chain([planned]).collect())
    });
    planned.collect()
}
