//! Durable events for who fetches them: pages at its own pace, each event with the place at which to go on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{Event, Feed, Pattern, StoreError, Subject, TaskRecord};
use tasker_types::{Position, Telemetry};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

use super::LOOK;
use crate::mask::masked;
use crate::tasker::Tasker;

/// How far apart two looks at the history are at least.
const PAUSE: Duration = Duration::from_millis(50);

/// A place among durable events, after which to go on: `41` is after all events of the transition at position 41,
/// `41-0` after the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    position: Position,
    ordinal: Option<u32>,
}

/// A text that is no place among events.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no place among events: a position such as `41`, or `41-0`")]
pub struct InvalidEventPlace {
    text: String,
}

impl EventPlace {
    /// Returns the position of the transition.
    pub fn position(self) -> Position {
        self.position
    }

    /// Tells whether an event comes after this place.
    fn is_before(self, event: &Event) -> bool {
        let (Some(position), Some(ordinal)) = (event.position, self.ordinal) else {
            return true;
        };
        position != self.position || event.ordinal > ordinal
    }

    /// Returns the place of an event, of which the next one of its page is known.
    fn of(event: &Event, next: Option<&Event>) -> Option<Self> {
        let position = event.position?;
        let is_last = next.is_none_or(|next| next.position != Some(position));
        Some(Self {
            position,
            ordinal: (!is_last).then_some(event.ordinal),
        })
    }
}

impl From<Position> for EventPlace {
    /// Returns the place after all events of a transition.
    fn from(position: Position) -> Self {
        Self {
            position,
            ordinal: None,
        }
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            None => write!(f, "{}", self.position.0),
            Some(ordinal) => write!(f, "{}-{ordinal}", self.position.0),
        }
    }
}

impl FromStr for EventPlace {
    type Err = InvalidEventPlace;

    fn from_str(text: &str) -> Result<Self, InvalidEventPlace> {
        let (position, ordinal) = match text.split_once('-') {
            None => (text, None),
            Some((position, ordinal)) => (position, Some(ordinal)),
        };
        // Signs are no digits.
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let read = || {
            let position = Some(position).filter(|text| is_number(text))?.parse().ok()?;
            let ordinal = match ordinal {
                None => None,
                Some(text) => Some(Some(text).filter(|text| is_number(text))?.parse().ok()?),
            };
            Some(Self {
                position: Position(position),
                ordinal,
            })
        };
        read().ok_or_else(|| InvalidEventPlace {
            text: text.chars().take(64).collect(),
        })
    }
}

type Wanted = Box<dyn Fn(&Subject) -> bool + Send + Sync>;

/// Durable events after a place, fetched page by page. Nothing is kept for a reader that does not fetch.
pub struct EventReader {
    feed: Feed,
    after: EventPlace,
    commits: watch::Receiver<u64>,
    patterns: Vec<Pattern>,
    wanted: Wanted,
    telemetry: Arc<Telemetry>,
    looked: Instant,
}

impl Tasker {
    /// Reads the durable events of all tasks that come after a place.
    pub fn read_events(&self, after: EventPlace) -> EventReader {
        EventReader::new(self, after, |position| {
            Feed::after(Arc::clone(self.store()), position)
        })
    }

    /// Reads the durable events of one task that come after a place.
    pub fn read_task_events(&self, task: &TaskRecord, after: EventPlace) -> EventReader {
        EventReader::new(self, after, |position| {
            Feed::of_task(Arc::clone(self.store()), task, position)
        })
    }
}

impl EventReader {
    fn new(tasker: &Tasker, after: EventPlace, feed: impl FnOnce(Position) -> Feed) -> Self {
        let hub = tasker.hub();
        // Before the first look, so that no commit falls between them.
        let commits = hub.commits();
        let Position(position) = after.position;
        let begin = match after.ordinal {
            None => Position(position),
            Some(_) => Position(position - 1),
        };
        Self {
            feed: feed(begin),
            after,
            commits,
            patterns: Vec::new(),
            wanted: Box::new(|_| true),
            telemetry: Arc::clone(hub.telemetry()),
            looked: Instant::now(),
        }
    }

    /// Tells only of events whose names fit one of these patterns; of all if there is none.
    #[must_use]
    pub fn patterns(mut self, patterns: Vec<Pattern>) -> Self {
        self.patterns = patterns;
        self
    }

    /// Tells only of the tasks that are wanted.
    #[must_use]
    pub fn of(mut self, wanted: impl Fn(&Subject) -> bool + Send + Sync + 'static) -> Self {
        self.wanted = Box::new(wanted);
        self
    }

    /// Returns the position up to which everything was looked at.
    pub fn position(&self) -> Position {
        self.feed.position()
    }

    /// Tells whether the events are those of one task that has ended for good.
    pub fn has_ended(&self) -> bool {
        self.feed.has_ended()
    }

    /// Returns the next page of events, in order, each with its place, masked by `telemetry.filter_parameters`. It may
    /// be empty although more follow: when the [`position`](Self::position) does not move either, there are no more by
    /// now.
    ///
    /// # Errors
    ///
    /// What the store says; the next call tries the same again.
    pub async fn next(&mut self) -> Result<Vec<(EventPlace, Event)>, StoreError> {
        self.looked = Instant::now();
        let events = self.feed.next_of(&self.wanted).await?;
        let mut told = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let Some(place) = EventPlace::of(event, events.get(number + 1)) else {
                continue;
            };
            let fits = |pattern: &Pattern| pattern.matches(&event.name);
            if self.after.is_before(event) && (self.patterns.is_empty() || self.patterns.iter().any(fits)) {
                let payload = masked(event.payload.clone(), &self.telemetry);
                let event = Event {
                    payload,
                    ..event.clone()
                };
                told.push((place, event));
            }
        }
        Ok(told)
    }

    /// Waits until there may be more: this process has committed something, or a second has passed, in which others
    /// may have. Looks do not follow one another faster than every 50 ms.
    pub async fn changed(&mut self) {
        tokio::select! {
            changed = self.commits.changed() => if changed.is_err() {
                // Nobody commits in this process any more.
                tokio::time::sleep(LOOK).await;
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep_until(self.looked + PAUSE).await;
        self.commits.mark_unchanged();
    }
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader")
            .field("position", &self.position())
            .field("patterns", &self.patterns)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["0", "41", "41-0", "9223372036854775807-4294967295"] {
            assert_eq!(text.parse::<EventPlace>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "-",
            "41-",
            "-1",
            "+1",
            "1-+1",
            "1-2-3",
            "x",
            " 1",
            "9223372036854775808",
        ] {
            assert_eq!(
                text.parse::<EventPlace>().unwrap_err().to_string(),
                format!("`{text}` is no place among events: a position such as `41`, or `41-0`")
            );
        }
    }
}
