//! What can be wrong with a graph.

use thiserror::Error;

/// How many names of one cycle, and how many cycles or faults, a message shows.
const SHOWN: usize = 60;

/// What is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DagError {
    /// Several nodes have one name.
    #[error("`{name}` is the name of more than one node")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An edge begins or ends at a node that does not exist.
    #[error("an edge leads from node {from} to node {to}, but there are only {nodes} nodes")]
    UnknownNode {
        /// The number of the node where it begins.
        from: usize,
        /// The number of the node where it ends.
        to: usize,
        /// How many nodes there are; they are numbered from 0.
        nodes: usize,
    },
    /// An edge ends where it begins.
    #[error("`{name}` has an edge to itself")]
    SelfLoop {
        /// The name of the node.
        name: String,
    },
    /// An edge is given more than once.
    #[error("the edge `{from}` -> `{to}` is given more than once")]
    DuplicateEdge {
        /// The name of the node where it begins.
        from: String,
        /// The name of the node where it ends.
        to: String,
    },
    /// Nodes lead back to themselves.
    #[error("{}", describe_cycles(cycles))]
    Cycles {
        /// One cycle of each group of nodes that reach one another: its nodes in the direction of the edges, beginning
        /// with the first of the group in node order, by the shortest way back to it. The first is not repeated at the
        /// end.
        cycles: Vec<Vec<String>>,
    },
    /// More than one of the above.
    #[error("{}", join(faults.iter().map(DagError::to_string), faults.len()))]
    Several {
        /// At least two faults: names, then edges, each in the order of the nodes, then cycles.
        faults: Vec<DagError>,
    },
}

impl DagError {
    /// Makes one error of all faults, if there is one.
    pub(crate) fn of(mut faults: Vec<DagError>) -> Option<DagError> {
        match faults.len() {
            0 | 1 => faults.pop(),
            _ => Some(Self::Several { faults }),
        }
    }

    /// Returns every single fault: the error itself, or those that it is made of.
    pub fn faults(&self) -> &[DagError] {
        match self {
            Self::Several { faults } => faults,
            single => std::slice::from_ref(single),
        }
    }
}

/// A message is for a person, so it does not grow with the graph; the fields have everything.
fn join(texts: impl Iterator<Item = String>, count: usize) -> String {
    let mut texts: Vec<_> = texts.take(SHOWN).collect();
    if count > SHOWN {
        texts.push(format!("and {} more", count - SHOWN));
    }
    texts.join("; ")
}

fn describe_cycles(cycles: &[Vec<String>]) -> String {
    let noun = if cycles.len() == 1 { "a cycle" } else { "cycles" };
    format!(
        "{noun}: {}",
        join(cycles.iter().map(|cycle| describe_cycle(cycle)), cycles.len())
    )
}

fn describe_cycle(cycle: &[String]) -> String {
    let Some(first) = cycle.first() else {
        return String::new();
    };
    if cycle.len() <= SHOWN {
        return format!("{} -> {first}", cycle.join(" -> "));
    }
    let (start, rest) = cycle.split_at(SHOWN - 1);
    let last = &rest[rest.len() - 1];
    format!(
        "{} -> ({} more) -> {last} -> {first}",
        start.join(" -> "),
        rest.len() - 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_what_it_leaves_out() {
        let texts = |count: usize| join((0..count).map(|number| number.to_string()), count);
        assert_eq!(texts(2), "0; 1");
        assert!(texts(SHOWN).ends_with("; 59"));
        assert!(texts(SHOWN + 2).ends_with("; 59; and 2 more"));
    }
}
