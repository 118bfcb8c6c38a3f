//! Breadth-first search.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use tasker_engine::{Store as _, StoreError};
use tasker_types::Position;

use super::action::Action;
use super::node::Node;
use super::state::State;
use super::verdict::check_state;
use super::world::{World, answer};
use super::{DESCRIBED, Explored};

/// A world in which so much is wrong is not searched further: there may be no end to it.
const ENOUGH: u64 = 20;

/// How a state was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    from: u32,
    by: Option<Action>,
    ended: bool,
}

struct Search<'a> {
    world: &'a World,
    known: HashMap<Box<[u8]>, u32>,
    found: Vec<Found>,
    frontier: VecDeque<(u32, Node)>,
    /// Transitions in which nothing goes wrong, from where to where.
    calm: Vec<(u32, u32)>,
    explored: Explored,
}

/// Explores a world.
pub(super) fn search(world: &World) -> Explored {
    let mut search = Search {
        world,
        known: HashMap::new(),
        found: Vec::new(),
        frontier: VecDeque::new(),
        calm: Vec::new(),
        explored: Explored {
            worlds: 1,
            ..Explored::default()
        },
    };
    if let Err(error) = search.run() {
        search.wrong(0, None, &[error.to_string()], None);
    }
    search.explored
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), StoreError> {
        let root = self.world.root();
        let state = State::read(&root, self.world)?;
        self.arrive(0, None, root, &state)?;
        while let Some((from, node)) = self.frontier.pop_front() {
            let before = State::read(&node, self.world)?;
            for action in node.actions(self.world, &before) {
                let mut next = node.fork(self.world);
                let mut problems = Vec::new();
                next.apply(self.world, &before, action, &mut problems)?;
                let after = State::read(&next, self.world)?;
                check_state(&next, self.world, &after, &mut problems)?;
                self.explored.transitions += 1;
                if !problems.is_empty() {
                    self.wrong(from, Some(action), &problems, Some(&next));
                    if self.explored.violations >= ENOUGH {
                        return Ok(());
                    }
                    // What follows from a mistake is not told as well.
                    continue;
                }
                let to = self.arrive(from, Some(action), next, &after)?;
                if action.is_calm() && from != to {
                    self.calm.push((from, to));
                }
            }
        }
        self.check_ends();
        Ok(())
    }

    /// Notes a state, and has it explored if it is a new one.
    fn arrive(
        &mut self,
        from: u32,
        by: Option<Action>,
        node: Node,
        state: &State,
    ) -> Result<u32, StoreError> {
        let next = u32::try_from(self.found.len()).unwrap_or(u32::MAX);
        let number = *self.known.entry(state.key(&node)).or_insert(next);
        if number == next {
            self.found.push(Found {
                from,
                by,
                ended: !state.task_state().is_active(),
            });
            self.explored.states += 1;
            self.explored.ended += u64::from(!state.task_state().is_active());
            let mut problems = Vec::new();
            node.probe(self.world, state, &mut problems)?;
            if !problems.is_empty() {
                self.wrong(number, None, &problems, Some(&node));
            }
            self.frontier.push_back((number, node));
        }
        Ok(number)
    }

    /// Checks that each state leads to one in which the task is over, and nothing has to go wrong for it.
    fn check_ends(&mut self) {
        self.calm.sort_unstable_by_key(|(_, to)| *to);
        let mut ends: Vec<bool> = self.found.iter().map(|found| found.ended).collect();
        let mut reached: Vec<u32> = (0..)
            .zip(&ends)
            .filter(|(_, ends)| **ends)
            .map(|(number, _)| number)
            .collect();
        while let Some(to) = reached.pop() {
            let first = self.calm.partition_point(|(_, other)| *other < to);
            for (from, _) in self.calm[first..].iter().take_while(|(_, other)| *other == to) {
                if !std::mem::replace(&mut ends[*from as usize], true) {
                    reached.push(*from);
                }
            }
        }
        let stuck: Vec<u32> = (0..)
            .zip(&ends)
            .filter(|(_, ends)| !**ends)
            .map(|(number, _)| number)
            .collect();
        for number in stuck {
            self.wrong(number, None, &["the task can end no more".to_owned()], None);
        }
    }

    /// Notes that something is wrong with a state, or with a transition from it.
    fn wrong(&mut self, state: u32, by: Option<Action>, problems: &[String], node: Option<&Node>) {
        self.explored.violations += 1;
        if self.explored.described.len() >= DESCRIBED {
            return;
        }
        let World { steps, edges, .. } = self.world;
        let mut text = format!("{steps} steps with the edges {edges:?}\n");
        for problem in problems {
            let _ = writeln!(text, "  {problem}");
        }
        let mut actions: Vec<Action> = by.into_iter().collect();
        let mut at = state;
        while let Some(Found {
            from, by: Some(by), ..
        }) = self.found.get(at as usize)
        {
            actions.push(*by);
            at = *from;
        }
        for (action, number) in actions.iter().rev().zip(1..) {
            let _ = writeln!(text, "  {number}. {action}");
        }
        let history =
            node.and_then(|node| answer(node.store.history(self.world.task, Position(0), u32::MAX)).ok());
        for entry in history.into_iter().flatten() {
            let line = serde_json::to_string(&entry).unwrap_or_else(|error| error.to_string());
            let _ = writeln!(text, "  {line}");
        }
        self.explored.described.push(text);
    }
}
