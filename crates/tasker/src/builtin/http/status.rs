//! What the status of an answer means.

use std::collections::BTreeMap;

use serde_json::Value;

/// What becomes of a step whose request was answered with some status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It is complete.
    Success,
    /// It has failed for good.
    Permanent,
    /// It is tried again.
    Retryable,
}

impl Class {
    /// Returns what a status means when nothing else is said of it.
    fn usual(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            408 | 409 | 423 | 425 | 429 => Self::Retryable,
            400..=499 | 501 => Self::Permanent,
            _ => Self::Retryable,
        }
    }
}

/// What some statuses mean otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statuses {
    single: BTreeMap<u16, (Class, &'static str)>,
    /// By their first digit.
    hundreds: BTreeMap<u16, (Class, &'static str)>,
}

impl Statuses {
    /// Takes in a list of a configuration, and adds what is wrong with it to the faults.
    pub(super) fn add(&mut self, name: &'static str, class: Class, list: &[Value], faults: &mut Vec<String>) {
        for item in list {
            let known = match (single(item), hundred(item)) {
                (Some(status), _) => self.single.insert(status, (class, name)),
                (None, Some(digit)) => self.hundreds.insert(digit, (class, name)),
                (None, None) => {
                    faults.push(format!(
                        "`{name}` has {item}, but a status is a number from 100 to 599, or a class such as \"4xx\""
                    ));
                    continue;
                }
            };
            if let Some((_, other)) = known.filter(|(other, _)| *other != class) {
                faults.push(format!(
                    "{item} is in `{other}` and in `{name}`; leave it in one of them"
                ));
            }
        }
    }

    /// Returns what a status means.
    pub(super) fn class(&self, status: u16) -> Class {
        let said = self
            .single
            .get(&status)
            .or_else(|| self.hundreds.get(&(status / 100)));
        said.map_or_else(|| Class::usual(status), |(class, _)| *class)
    }
}

fn single(item: &Value) -> Option<u16> {
    let status = match item {
        Value::String(text) => text.parse().ok()?,
        other => other.as_u64()?,
    };
    u16::try_from(status)
        .ok()
        .filter(|status| (100..=599).contains(status))
}

fn hundred(item: &Value) -> Option<u16> {
    match item.as_str()?.as_bytes() {
        [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(u16::from(digit - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_status_has_its_class() {
        let of = |class| {
            let all = (200..=599).filter(|status| Class::usual(*status) == class);
            all.collect::<Vec<_>>()
        };
        assert_eq!(of(Class::Success), (200..=299).collect::<Vec<_>>());
        let tried_again = [408, 409, 423, 425, 429];
        let mut permanent: Vec<u16> = (400..=499)
            .filter(|status| !tried_again.contains(status))
            .collect();
        permanent.push(501);
        assert_eq!(of(Class::Permanent), permanent);
        let rest = (300..=399).chain(tried_again).chain([500]).chain(502..=599);
        assert_eq!(of(Class::Retryable), rest.collect::<Vec<_>>());
    }

    #[test]
    fn a_single_status_wins_over_its_class() {
        let mut statuses = Statuses::default();
        let mut faults = Vec::new();
        statuses.add(
            "success",
            Class::Success,
            &[json!(404), json!("409")],
            &mut faults,
        );
        statuses.add("retryable", Class::Retryable, &[json!("4xx")], &mut faults);
        statuses.add("permanent", Class::Permanent, &[json!("2XX")], &mut faults);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(statuses.class(404), Class::Success);
        assert_eq!(statuses.class(409), Class::Success);
        assert_eq!(statuses.class(400), Class::Retryable);
        assert_eq!(statuses.class(204), Class::Permanent);
        assert_eq!(statuses.class(501), Class::Permanent);
        assert_eq!(statuses.class(500), Class::Retryable);
    }
}
