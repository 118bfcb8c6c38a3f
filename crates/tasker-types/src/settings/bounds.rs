//! What the values of a key must satisfy, in one form for checks, messages, pages and schemas.

use std::fmt;
use std::net::SocketAddr;

use crate::Namespace;

/// What a value must satisfy besides being of its type, as far as that can be said without looking at other values.
///
/// Of a list it is what each of its values must satisfy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    minimum: Option<f64>,
    above: Option<f64>,
    maximum: Option<f64>,
    not_empty: bool,
    pattern: Option<&'static str>,
}

impl Bounds {
    /// No bounds: every value of the type will do.
    pub const NONE: Self = Self {
        minimum: None,
        above: None,
        maximum: None,
        not_empty: false,
        pattern: None,
    };

    /// Numbers from this one on.
    pub const fn at_least(minimum: f64) -> Self {
        Self {
            minimum: Some(minimum),
            ..Self::NONE
        }
    }

    /// Numbers greater than this one.
    pub const fn above(above: f64) -> Self {
        Self {
            above: Some(above),
            ..Self::NONE
        }
    }

    /// Numbers from the first one to the second one, both included.
    pub const fn between(minimum: f64, maximum: f64) -> Self {
        Self::at_least(minimum).at_most(maximum)
    }

    /// Texts that match a regular expression, which the type of the value checks by itself.
    pub const fn matching(pattern: &'static str) -> Self {
        Self {
            pattern: Some(pattern),
            ..Self::NONE
        }
    }

    /// Texts and lists in which there is something.
    pub const fn not_empty() -> Self {
        Self::NONE.and_not_empty()
    }

    /// These bounds, and no number greater than this one.
    #[must_use]
    pub const fn at_most(self, maximum: f64) -> Self {
        Self {
            maximum: Some(maximum),
            ..self
        }
    }

    /// These bounds, and something in the list.
    #[must_use]
    pub const fn and_not_empty(self) -> Self {
        Self {
            not_empty: true,
            ..self
        }
    }

    /// Returns the least number, if that is a bound.
    pub const fn minimum(&self) -> Option<f64> {
        self.minimum
    }

    /// Returns the number that all must be greater than, if there is one.
    pub const fn exclusive_minimum(&self) -> Option<f64> {
        self.above
    }

    /// Returns the greatest number, if that is a bound.
    pub const fn maximum(&self) -> Option<f64> {
        self.maximum
    }

    /// Tells whether there must be something in the text or the list.
    pub const fn is_not_empty(&self) -> bool {
        self.not_empty
    }

    /// Returns the regular expression that texts match, if there is one.
    pub const fn pattern(&self) -> Option<&'static str> {
        self.pattern
    }

    /// Returns what each value of a list must satisfy.
    #[must_use]
    pub const fn of_each(&self) -> Self {
        Self {
            not_empty: false,
            ..*self
        }
    }

    /// Tells whether every value of the type will do.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Tells whether there is a bound of numbers.
    pub const fn has_range(&self) -> bool {
        self.minimum.is_some() || self.above.is_some() || self.maximum.is_some()
    }

    fn holds(&self, number: f64) -> bool {
        let minimum = self.minimum.is_none_or(|minimum| number >= minimum);
        let above = self.above.is_none_or(|above| number > above);
        minimum && above && self.maximum.is_none_or(|maximum| number <= maximum)
    }

    fn range(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.minimum, self.above, self.maximum) {
            (Some(minimum), _, Some(maximum)) => write!(f, "between {minimum} and {maximum}"),
            (_, Some(above), Some(maximum)) => write!(f, "more than {above} and at most {maximum}"),
            (Some(minimum), ..) => write!(f, "at least {minimum}"),
            (_, Some(above), _) => write!(f, "more than {above}"),
            (.., Some(maximum)) => write!(f, "at most {maximum}"),
            _ => Ok(()),
        }
    }
}

/// Says what a value must be: `between 1 and 64`, `not empty`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.not_empty {
            return self.range(f);
        }
        f.write_str("not empty")?;
        if self.has_range() {
            f.write_str(", with every value ")?;
        }
        self.range(f)
    }
}

/// A value that can be held against bounds.
pub(super) trait Bounded {
    /// Tells whether the bounds hold.
    fn is_within(&self, bounds: &Bounds) -> bool;

    /// Returns the value as it would be written.
    fn written(&self) -> String;

    /// Says what the value must be.
    fn must(&self, bounds: &Bounds) -> String {
        bounds.to_string()
    }
}

impl Bounded for bool {
    fn is_within(&self, _: &Bounds) -> bool {
        true
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Bounded for u32 {
    fn is_within(&self, bounds: &Bounds) -> bool {
        bounds.holds(f64::from(*self))
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Bounded for u64 {
    fn is_within(&self, bounds: &Bounds) -> bool {
        // What is lost above 2^53 is less than any bound.
        bounds.holds(*self as f64)
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Bounded for f64 {
    fn is_within(&self, bounds: &Bounds) -> bool {
        self.is_finite() && bounds.holds(*self)
    }

    fn written(&self) -> String {
        format!("{self:?}")
    }

    fn must(&self, bounds: &Bounds) -> String {
        if self.is_finite() || bounds.maximum.is_some() {
            bounds.to_string()
        } else {
            format!("a finite number that is {bounds}")
        }
    }
}

impl Bounded for String {
    fn is_within(&self, bounds: &Bounds) -> bool {
        !(bounds.not_empty && self.is_empty())
    }

    fn written(&self) -> String {
        format!("{self:?}")
    }
}

/// Nothing to check: there are no other names than good ones.
impl Bounded for Namespace {
    fn is_within(&self, _: &Bounds) -> bool {
        true
    }

    fn written(&self) -> String {
        format!("{self:?}")
    }
}

/// Nothing to check: there are no other addresses than good ones.
impl Bounded for SocketAddr {
    fn is_within(&self, _: &Bounds) -> bool {
        true
    }

    fn written(&self) -> String {
        format!("\"{self}\"")
    }
}

impl<T: Bounded> Bounded for Option<T> {
    fn is_within(&self, bounds: &Bounds) -> bool {
        self.as_ref().is_none_or(|value| value.is_within(bounds))
    }

    fn written(&self) -> String {
        self.as_ref().map(T::written).unwrap_or_default()
    }

    fn must(&self, bounds: &Bounds) -> String {
        self.as_ref()
            .map_or_else(|| bounds.to_string(), |value| value.must(bounds))
    }
}

impl<T: Bounded> Bounded for Vec<T> {
    fn is_within(&self, bounds: &Bounds) -> bool {
        let each = bounds.of_each();
        !(bounds.not_empty && self.is_empty()) && self.iter().all(|value| value.is_within(&each))
    }

    fn written(&self) -> String {
        let values: Vec<_> = self.iter().map(T::written).collect();
        format!("[{}]", values.join(", "))
    }

    fn must(&self, bounds: &Bounds) -> String {
        format!("a list that is {bounds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(bounds: Bounds, text: &str) {
        assert_eq!(bounds.to_string(), text);
    }

    #[test]
    fn bounds_say_what_they_are() {
        says(Bounds::NONE, "");
        says(Bounds::at_least(1.0), "at least 1");
        says(Bounds::above(0.0), "more than 0");
        says(Bounds::NONE.at_most(0.5), "at most 0.5");
        says(Bounds::between(1.0, 64.0), "between 1 and 64");
        says(Bounds::above(0.0).at_most(9.0), "more than 0 and at most 9");
        says(Bounds::not_empty(), "not empty");
        says(
            Bounds::between(0.0, 9.0).and_not_empty(),
            "not empty, with every value between 0 and 9",
        );
    }

    #[test]
    fn bounds_hold_up_to_their_edges() {
        assert!(1_u32.is_within(&Bounds::between(1.0, 2.0)) && 2_u32.is_within(&Bounds::between(1.0, 2.0)));
        assert!(!0_u32.is_within(&Bounds::at_least(1.0)) && !3_u64.is_within(&Bounds::NONE.at_most(2.0)));
        assert!(!0.0.is_within(&Bounds::above(0.0)) && f64::MIN_POSITIVE.is_within(&Bounds::above(0.0)));
        assert!(!f64::NAN.is_within(&Bounds::NONE) && !f64::INFINITY.is_within(&Bounds::at_least(0.0)));
        assert!(
            !Vec::<u64>::new().is_within(&Bounds::not_empty()) && vec![0_u64].is_within(&Bounds::not_empty())
        );
        assert!(!vec![1_u64, 9].is_within(&Bounds::between(0.0, 8.0)));
        assert!(
            !String::new().is_within(&Bounds::not_empty()) && None::<u32>.is_within(&Bounds::at_least(1.0))
        );
    }

    #[test]
    fn bounds_tell_what_they_have() {
        let all = Bounds {
            pattern: Some("^a$"),
            ..Bounds::between(2.0, 64.0).and_not_empty()
        };
        assert_eq!(
            (all.minimum(), all.exclusive_minimum(), all.maximum()),
            (Some(2.0), None, Some(64.0))
        );
        assert_eq!((all.is_not_empty(), all.pattern()), (true, Some("^a$")));
        assert_eq!(Bounds::above(3.0).exclusive_minimum(), Some(3.0));
        assert_eq!(Bounds::matching("^b$").pattern(), Some("^b$"));
        let none = Bounds::NONE;
        assert_eq!(
            (none.minimum(), none.exclusive_minimum(), none.maximum()),
            (None, None, None)
        );
        assert_eq!((none.is_not_empty(), none.pattern()), (false, None));
        assert_eq!(
            all.of_each(),
            Bounds {
                not_empty: false,
                ..all
            }
        );
        assert!(none.is_none() && !all.is_none());
    }

    #[test]
    fn any_bound_of_numbers_is_a_range() {
        for bounds in [
            Bounds::at_least(0.0),
            Bounds::above(0.0),
            Bounds::NONE.at_most(0.0),
        ] {
            assert!(bounds.has_range(), "{bounds}");
        }
        assert!(!Bounds::not_empty().has_range());
    }

    #[test]
    fn values_are_written_as_in_a_file() {
        assert!(true.is_within(&Bounds::NONE) && false.is_within(&Bounds::NONE));
        assert_eq!(Namespace::default().written(), "\"default_system\"");
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(address.written(), "\"127.0.0.1:8080\"");
        assert_eq!(0.5.must(&Bounds::at_least(1.0)), "at least 1");
        assert_eq!(
            f64::NAN.must(&Bounds::at_least(1.0)),
            "a finite number that is at least 1"
        );
        assert_eq!(f64::NAN.must(&Bounds::between(0.0, 1.0)), "between 0 and 1");
    }
}
