//! Identifiers.
//!
//! Tasks and workers are UUIDs of version 7: unique without a coordinator and ordered by creation time.
//! They are made from a time and random bits that the caller passes in, so that a run can be reproduced.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id of version 7 from a time and 80 random bits.
            pub fn new(now: Timestamp, random: u128) -> Self {
                let millis = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
                let mut bytes = [0u8; 10];
                bytes.copy_from_slice(&random.to_be_bytes()[6..]);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
            }

            /// Returns the id that has these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes of the id, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// A task: one run of a template.
    TaskId
}

uuid_id! {
    /// One incarnation of a worker. A worker that starts again has a new id.
    WorkerId
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($repr:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $repr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A step's number within its task: the place at which the template lists it, from 0. Numbers only grow.
    StepNo(u32)
}

number_id! {
    /// Counts the claims of one step for ever, from 1; the key of an attempt in the history.
    RunNo(u32)
}

number_id! {
    /// The right to a claimed step: new for every claim, and asked for in every write about it.
    ///
    /// 63 bits, because both databases store it as a signed integer.
    LeaseToken(i64)
}

number_id! {
    /// A place in the transition log. Later transitions have greater positions.
    Position(i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let early = TaskId::new(Timestamp::from_micros(1_000_000), u128::MAX);
        let late = TaskId::new(Timestamp::from_micros(2_000_000), 0);
        assert!(early < late);
    }

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = WorkerId::new(Timestamp::from_micros(1_700_000_000_000_000), 42);
        assert_eq!(id.to_string().parse::<WorkerId>().unwrap(), id);
        assert_eq!(WorkerId::from_bytes(*id.as_bytes()), id);
    }
}
