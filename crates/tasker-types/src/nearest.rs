//! The name that someone probably meant.

/// Returns the candidate that is nearest to a text, if one is near enough to be what was meant.
///
/// Near enough is an edit distance (Levenshtein, letters compared without case) of at most a third of the longer of
/// the two. Of several equally near the first wins.
///
/// # Complexity
///
/// The product of the lengths, for each candidate.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(text, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance * 3 <= candidate.chars().count().max(text.chars().count()).max(3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, right) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let names = ["retry_limit", "retryable", "depends_on"];
        assert_eq!(nearest("retry_limt", names), Some("retry_limit"));
        assert_eq!(nearest("dependson", names), Some("depends_on"));
        assert_eq!(nearest("Retryable", names), Some("retryable"));
        assert_eq!(nearest("colour", names), None);
    }
}
