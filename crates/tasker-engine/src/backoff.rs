//! How long a failed step waits.

use std::time::Duration;

use tasker_types::Backoff;

/// Returns the seconds that a step waits after failed attempt `attempt` (the first is 1), without jitter.
///
/// It is the attempt's entry in `default_backoff_seconds`, past its end `trunc(attempt ^ backoff_multiplier)`, and
/// at most `max_backoff_seconds`; 0 for an attempt below 1.
pub fn delay_seconds(backoff: &Backoff, attempt: i64) -> u64 {
    if attempt < 1 {
        return 0;
    }
    let listed = usize::try_from(attempt - i64::from(!tasker_types::bug(53)))
        .ok()
        .and_then(|index| backoff.default_backoff_seconds.get(index));
    let delay = match listed {
        Some(seconds) => *seconds,
        // A float that is too large for an integer becomes the greatest integer.
        None => (attempt as f64).powf(backoff.backoff_multiplier).trunc() as u64,
    };
    delay.min(backoff.max_backoff_seconds)
}

/// Returns how long a step waits after failed attempt `attempt`, spread by jitter if it is on.
///
/// `random` draws 64 random bits. The jitter is a uniform number of milliseconds in ± the configured part of the
/// delay; the sum is at most `max_backoff_seconds`. A delay of 0 stays 0.
pub fn delay(backoff: &Backoff, attempt: i64, random: &mut dyn FnMut() -> u64) -> Duration {
    let millis = delay_seconds(backoff, attempt) * 1_000;
    let spread = spread(backoff, millis);
    let offset = if spread == 0 {
        0
    } else {
        random() % (2 * spread + 1)
    };
    bounded(backoff, (millis + offset).saturating_sub(spread))
}

/// Returns how long a step waits after failed attempt `attempt` when the other side may have said how long to wait.
///
/// What it said wins over the configured delay. Jitter is then only ever added, so that nobody comes back too soon;
/// the sum is at most `max_backoff_seconds`.
pub fn retry_delay(
    backoff: &Backoff,
    attempt: u32,
    retry_after: Option<Duration>,
    random: &mut dyn FnMut() -> u64,
) -> Duration {
    let Some(asked) = retry_after.filter(|_| !tasker_types::bug(54)) else {
        return delay(backoff, i64::from(attempt), random);
    };
    let longest = backoff.max_backoff_seconds.saturating_mul(1_000);
    let millis = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).min(longest);
    let spread = spread(backoff, millis);
    let offset = if spread == 0 { 0 } else { random() % (spread + 1) };
    bounded(backoff, millis + offset)
}

/// Returns the greatest jitter of a delay, in milliseconds.
fn spread(backoff: &Backoff, millis: u64) -> u64 {
    if tasker_types::bug(55) {
        millis
    } else if backoff.jitter_enabled {
        (millis as f64 * backoff.jitter_max_percentage) as u64
    } else {
        0
    }
}

fn bounded(backoff: &Backoff, millis: u64) -> Duration {
    Duration::from_millis(millis).min(Duration::from_secs(backoff.max_backoff_seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tasker_types::BackoffValues;

    use super::*;

    fn no_jitter(change: impl FnOnce(&mut BackoffValues)) -> Backoff {
        let mut values = BackoffValues {
            jitter_enabled: false,
            ..BackoffValues::default()
        };
        change(&mut values);
        Backoff::try_from(values).unwrap()
    }

    #[test]
    fn the_defaults_wait_longer_and_longer() {
        let backoff = no_jitter(|_| {});
        let waits: Vec<_> = (-1..=12)
            .map(|attempt| delay_seconds(&backoff, attempt))
            .collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 49, 64, 81, 100, 121, 144]);
        assert_eq!(delay_seconds(&backoff, i64::MAX), 300);
    }

    #[test]
    fn what_the_other_side_asks_wins_and_is_bounded() {
        let backoff = no_jitter(|_| {});
        let asked =
            |seconds| retry_delay(&backoff, 1, Some(Duration::from_secs(seconds)), &mut || 0).as_secs();
        assert_eq!(asked(0), 0);
        assert_eq!(asked(17), 17);
        assert_eq!(asked(u64::MAX / 1_000), 300);
    }

    #[test]
    fn jitter_reaches_both_ends_and_no_further() {
        let jittered = Backoff::default();
        let waits = |draw: u64| delay(&jittered, 4, &mut || draw).as_millis();
        assert_eq!([0, 800, 1_600, 1_601].map(waits), [7_200, 8_000, 8_800, 7_200]);
        let asked = |draw: u64| {
            let seven = Some(Duration::from_secs(7));
            retry_delay(&jittered, 4, seven, &mut || draw).as_millis()
        };
        assert_eq!([0, 350, 700, 701].map(asked), [7_000, 7_350, 7_700, 7_000]);
    }

    proptest! {
        #[test]
        fn jitter_stays_in_its_bounds(attempt in 1u32..40, draw: u64) {
            let jittered = Backoff::default();
            let plain = delay_seconds(&jittered, i64::from(attempt)) as f64;
            let wait = delay(&jittered, i64::from(attempt), &mut || draw).as_secs_f64();
            prop_assert!(wait <= 300.0 && wait >= plain * 0.9 - 0.001 && wait <= plain * 1.1 + 0.001);
            let asked = retry_delay(&jittered, attempt, Some(Duration::from_secs(7)), &mut || draw);
            prop_assert!(asked >= Duration::from_secs(7) && asked <= Duration::from_millis(7_700));
        }

        #[test]
        fn no_settings_overflow(attempt: i64, multiplier in 1.0f64..1e300, longest in 1u64..=315_360_000) {
            let backoff = no_jitter(|v| {
                v.backoff_multiplier = multiplier;
                v.max_backoff_seconds = longest;
            });
            prop_assert!(delay_seconds(&backoff, attempt) <= longest);
        }
    }

    #[test]
    fn the_vectors_hold() {
        let vectors = include_str!("../../../tests/golden/backoff.jsonl");
        for line in vectors.lines() {
            let vector: serde_json::Value = serde_json::from_str(line).unwrap();
            let values: BackoffValues = serde_json::from_value(vector["config"].clone()).unwrap();
            let backoff = Backoff::try_from(values).unwrap();
            let waits = delay_seconds(&backoff, vector["attempt"].as_i64().unwrap());
            assert_eq!(Some(waits), vector["expected"].as_u64(), "{line}");
        }
    }
}
