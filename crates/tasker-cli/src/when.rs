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

    /// Reads what [`parse`](Self::parse) does, and days or weeks such as `90d` or `2w`.
    pub(crate) fn parse_long(text: &str) -> Result<Self, String> {
        match (Age::parse(text), text.parse()) {
            (Ok(age), _) => Ok(Self::In(age.0)),
            (_, Ok(time)) => Ok(Self::At(time)),
            _ => Err(
                "write days or weeks such as 90d or 12w, a shorter time such as 12h, or a time such as \
                 2026-01-31T12:00:00Z"
                    .to_owned(),
            ),
        }
    }

    /// Returns the point in time.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(wait) => now.plus(wait),
        }
    }
}

/// How long ago something was, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl Age {
    /// Reads days or weeks such as `30d` or `2w`, or a shorter time such as `12h` or `1h30m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let whole = |unit: char, seconds: u64| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            Some(Duration::from_secs(count.checked_mul(seconds)?))
        };
        let shorter = || Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok();
        whole('d', 86_400)
            .or_else(|| whole('w', 604_800))
            .or_else(shorter)
            .map(Self)
            .ok_or_else(|| "write days or weeks such as 30d or 2w, or a shorter time such as 12h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_days_weeks_or_less() {
        let hours = |hours: u64| Ok(Age(Duration::from_secs(hours * 3_600)));
        for (text, expected) in [
            ("30d", hours(720)),
            ("2w", hours(336)),
            ("12h", hours(12)),
            ("0d", hours(0)),
            ("120m", hours(2)),
        ] {
            assert_eq!(Age::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "d",
            "-1d",
            "1.5d",
            "30",
            "a month",
            "99999999999999999999d",
            "30000000000000000d",
        ] {
            assert!(Age::parse(text).is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let read = When::parse(text).ok().map(|when| when.from(noon));
        assert_eq!(read, expected.map(|time| time.parse().unwrap()), "{text}");
    }

    #[test]
    fn a_long_wait_has_days_or_weeks() {
        let noon: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90d", "2026-05-01T12:00:00Z"),
            ("2w", "2026-02-14T12:00:00Z"),
            ("12h", "2026-02-01T00:00:00Z"),
            ("2026-02-01T06:00:00Z", "2026-02-01T06:00:00Z"),
        ] {
            assert_eq!(
                When::parse_long(text).unwrap().from(noon),
                expected.parse().unwrap()
            );
        }
        assert!(When::parse_long("soon").is_err());
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
