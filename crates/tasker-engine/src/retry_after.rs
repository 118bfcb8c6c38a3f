//! The `Retry-After` header of HTTP (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use tasker_types::Timestamp;
use thiserror::Error;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A header that is neither a number of seconds nor a date of HTTP. The caller goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is neither a number of seconds nor a date of HTTP")]
pub struct InvalidRetryAfter {
    /// The header's value, at most its first 64 characters.
    pub text: String,
}

/// Reads a `Retry-After` header: how long to wait.
///
/// It is a number of seconds, or a date in one of the three forms of RFC 9110, section 5.6.7. A date counts from the
/// response's own `Date` header if that is valid, else from `now`; one that is past means no wait. The name of the
/// weekday must be that of the date, as the grammar demands.
///
/// # Errors
///
/// When it is neither.
pub fn parse_retry_after(
    header: &str,
    date: Option<&str>,
    now: Timestamp,
) -> Result<Duration, InvalidRetryAfter> {
    let text = header.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number beyond every clock does not fit; it means "very long".
        return Ok(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = parse_http_date(text, now).ok_or_else(|| InvalidRetryAfter {
        text: text.chars().take(64).collect(),
    })?;
    let from = date
        .and_then(|date| parse_http_date(date.trim(), now))
        .unwrap_or(now);
    Ok(until.since(from))
}

/// Reads a date of HTTP in any of its three forms. `now` tells which century a year of two digits means.
fn parse_http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let fields: Vec<&str> = text.split(' ').collect();
    match fields[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [day, date, month, year, time, "GMT"] if year.len() == 4 => moment(
            weekday(day.strip_suffix(',')?, &DAYS)?,
            number(year, 4)?,
            month,
            number(date, 2)?,
            time,
        ),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [day, date, time, "GMT"] => {
            let day = weekday(day.strip_suffix(',')?, &LONG_DAYS)?;
            let [date, month, year] = date.split('-').collect::<Vec<_>>()[..] else {
                return None;
            };
            let year = century(number(year, 2)?, now)?;
            moment(day, year, month, number(date, 2)?, time)
        }
        // Sun Nov  6 08:49:37 1994
        [day, month, "", date, time, year] => moment(
            weekday(day, &DAYS)?,
            number(year, 4)?,
            month,
            number(date, 1)?,
            time,
        ),
        [day, month, date, time, year] => moment(
            weekday(day, &DAYS)?,
            number(year, 4)?,
            month,
            number(date, 2)?,
            time,
        ),
        _ => None,
    }
}

fn weekday(name: &str, names: &[&str; 7]) -> Option<Weekday> {
    let index = names.iter().position(|known| *known == name)?;
    Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()
}

fn number(text: &str, digits: usize) -> Option<i16> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Returns the year that two digits mean: the last one that is at most 50 years ahead.
fn century(year: i16, now: Timestamp) -> Option<i16> {
    let this = jiff::Timestamp::from_microsecond(now.as_micros())
        .ok()?
        .to_zoned(TimeZone::UTC)
        .year();
    let next = this - this.rem_euclid(100) + 100 + year;
    Some(if next > this + 150 {
        next - 200
    } else if next > this + 50 {
        next - 100
    } else {
        next
    })
}

fn moment(day: Weekday, year: i16, month: &str, date: i16, time: &str) -> Option<Timestamp> {
    let month = i8::try_from(MONTHS.iter().position(|known| *known == month)? + 1).ok()?;
    let date = Date::new(year, month, i8::try_from(date).ok()?).ok()?;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    let part = |text| number(text, 2).and_then(|number| i8::try_from(number).ok());
    // A leap second counts as the one before it: clocks do not know it.
    let second = part(second)?;
    let time = Time::new(
        part(hour)?,
        part(minute)?,
        if second == 60 { 59 } else { second },
        0,
    )
    .ok()?;
    let zoned = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
    (date.weekday() == day).then(|| Timestamp::from_micros(zoned.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1994-11-06T08:49:37Z.
    const NOW: Timestamp = Timestamp::from_micros(784_111_777_000_000);

    #[track_caller]
    fn check(header: &str, date: Option<&str>, seconds: u64) {
        assert_eq!(
            parse_retry_after(header, date, NOW),
            Ok(Duration::from_secs(seconds)),
            "{header}"
        );
    }

    #[test]
    fn seconds_are_seconds() {
        check("0", None, 0);
        check(" 120 ", None, 120);
        check("99999999999999999999999", None, u64::MAX);
    }

    #[test]
    fn all_three_forms_of_a_date() {
        check("Sun, 06 Nov 1994 08:50:37 GMT", None, 60);
        check("Sunday, 06-Nov-94 08:50:37 GMT", None, 60);
        check("Sun Nov  6 08:50:37 1994", None, 60);
        check("Mon Nov 14 08:49:37 1994", None, 8 * 86_400);
    }

    #[test]
    fn a_date_counts_from_the_response() {
        check(
            "Sun, 06 Nov 1994 08:50:37 GMT",
            Some("Sun, 06 Nov 1994 08:50:30 GMT"),
            7,
        );
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some("yesterday"), 60);
    }

    #[test]
    fn a_date_in_the_past_means_now() {
        check("Sun, 06 Nov 1994 08:49:36 GMT", None, 0);
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        check("Saturday, 06-Nov-93 08:49:37 GMT", None, 0);
        assert!(
            parse_retry_after("Sunday, 06-Nov-44 08:49:37 GMT", None, NOW)
                .unwrap()
                .as_secs()
                > 49 * 365 * 86_400
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for junk in [
            "",
            "-1",
            "1.5",
            "soon",
            "+5",
            "1e3",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "Sun Nov 6 08:49:37 1994",
        ] {
            assert!(parse_retry_after(junk, None, NOW).is_err(), "{junk}");
        }
        assert_eq!(
            parse_retry_after("soon", None, NOW).unwrap_err().to_string(),
            "`soon` is neither a number of seconds nor a date of HTTP"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(header: String, date: Option<String>, now: i64) {
            let _ = parse_retry_after(&header, date.as_deref(), Timestamp::from_micros(now));
        }
    }
}
