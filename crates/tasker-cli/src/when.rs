//! Points in time as the command line takes them: a time, or a wait from now.

use std::time::Duration;

use tasker_types::Timestamp;

/// A time, or a wait from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At this time.
    At(Timestamp),
    /// So long from now.
    In(Duration),
}

impl When {
    /// Reads an RFC 3339 time, or a wait such as `90s`, `15m` or `2h30m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|wait| Duration::try_from(wait).ok())
            .map(Self::In)
            .ok_or_else(|| {
                "write a time such as 2026-01-31T12:00:00Z, or a wait such as 90s, 15m or 2h30m".to_owned()
            })
    }

    /// Returns the point in time.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(wait) => now.plus(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let read = When::parse(text).ok().map(|when| when.from(noon));
        assert_eq!(read, expected.map(|time| time.parse().unwrap()), "{text}");
    }

    #[test]
    fn a_time_is_taken_as_it_is() {
        check("2026-02-01T06:00:00Z", Some("2026-02-01T06:00:00Z"));
        check("2026-02-01T06:00:00+02:00", Some("2026-02-01T04:00:00Z"));
    }

    #[test]
    fn a_wait_counts_from_now() {
        check("90s", Some("2026-01-31T12:01:30Z"));
        check("15m", Some("2026-01-31T12:15:00Z"));
        check("2h30m", Some("2026-01-31T14:30:00Z"));
        check("1.5h", Some("2026-01-31T13:30:00Z"));
        check("0s", Some("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "tomorrow", "-5m", "5", "2026-02-01", "2026-02-01T06:00:00"] {
            check(text, None);
        }
    }
}
