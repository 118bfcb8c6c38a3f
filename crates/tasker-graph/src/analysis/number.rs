//! Numbers as they are rounded and written.

use serde::{Serialize, Serializer};

/// Returns `part` of `whole` in percent with one decimal, half away from zero; 0 of nothing.
///
/// The rounding is done on integers, so that a half is a half.
pub(crate) fn tenths(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let (part, whole) = (part as u128, whole as u128);
    ((part * 1_000 * 2 + whole) / (whole * 2)) as f64 / 10.0
}

/// A number that is written without a fraction if it has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plain(pub(crate) f64);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Every whole number up to here has a representation of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() <= EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_goes_away_from_zero() {
        assert_eq!(tenths(1, 16), 6.3);
        assert_eq!(tenths(1, 3), 33.3);
        assert_eq!(tenths(0, 0), 0.0);
    }

    #[test]
    fn a_number_without_a_fraction_is_written_without_one() {
        for (number, text) in [
            (2.0, "2"),
            (-2.0, "-2"),
            (2.5, "2.5"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (18_014_398_509_481_984.0, "1.8014398509481984e+16"),
        ] {
            assert_eq!(serde_json::to_string(&Plain(number)).unwrap(), text);
        }
    }
}
