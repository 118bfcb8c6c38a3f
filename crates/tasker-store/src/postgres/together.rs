//! Statements that are sent as one: each costs the server more to begin and to answer than most have to do.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::flush::{Change, USUAL};

/// Returns those of the [`USUAL`] statements that these bits say as one, with the types of its values.
fn joined(which: usize) -> (String, String) {
    let (mut parts, mut types) = (Vec::new(), Vec::new());
    for (bit, (_, own, own_types)) in USUAL.iter().enumerate() {
        if which & (1 << bit) != 0 {
            parts.extend(own.iter().map(|part| shifted(part, types.len())));
            types.extend(own_types.split(", "));
        }
    }
    let last = parts.pop().unwrap_or_default();
    let mut text = String::from("WITH p0 AS (");
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            let _ = write!(text, "), p{number} AS (");
        }
        text.push_str(part);
    }
    let _ = write!(text, ") {last}");
    (text, types.join(", "))
}

/// Returns a text whose placeholders have greater numbers.
fn shifted(sql: &str, by: usize) -> String {
    let mut pieces = sql.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        let number = number.parse::<usize>().unwrap_or_default() + by;
        let _ = write!(text, "${number}{rest}");
    }
    text
}

/// Puts [`USUAL`] statements into one, after all others, unless there is but one of them.
pub(super) fn together(changes: Vec<Change<'_>>) -> Vec<Change<'_>> {
    static TEXTS: [OnceLock<String>; 1 << USUAL.len()] = [const { OnceLock::new() }; 1 << USUAL.len()];
    let bit = |sql: &str| USUAL.iter().position(|(own, ..)| *own == sql);
    let (mut usual, mut others): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(sql, _)| bit(sql).is_some());
    usual.sort_by_key(|(sql, _)| bit(sql));
    // Two changes of leases may be of the same row.
    if usual.len() < 2 || usual.windows(2).any(|two| two[0].0 == two[1].0) {
        others.append(&mut usual);
        return others;
    }
    let bits = usual.iter().filter_map(|(sql, _)| bit(sql));
    let which = bits.fold(0, |which, bit| which | 1 << bit);
    let sql = TEXTS[which].get_or_init(|| joined(which).0);
    others.push((sql, usual.into_iter().flat_map(|(_, binds)| binds).collect()));
    others
}

/// Returns all of the [`USUAL`] statements as one, with the types of its values.
#[cfg(test)]
pub(super) fn all() -> (String, String) {
    joined((1 << USUAL.len()) - 1)
}
