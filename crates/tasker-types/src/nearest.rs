//! The name that someone probably meant.

/// Returns the candidate that is nearest to a text, if one is near enough to be what was meant.
///
/// Near enough is an edit distance (letters that are missing, too many, wrong, or swapped with the next one; compared
/// without case) of at most a third of the longer of the two. Of several equally near the first wins.
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
    let letters = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (left, right) = (letters(left), letters(right));
    // The rows for the letters of `left` before the last, up to the last, and up to this one.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut this = vec![row];
        for column in 1..=right.len() {
            let replaced = last[column - 1] + usize::from(left[row - 1] != right[column - 1]);
            let mut nearest = replaced.min(last[column] + 1).min(this[column - 1] + 1);
            if row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1]
            {
                nearest = nearest.min(before[column - 2] + 1);
            }
            this.push(nearest);
        }
        before = std::mem::replace(&mut last, this);
    }
    last[right.len()]
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
        assert_eq!(nearest("rnu", ["resume", "run"]), Some("run"));
        assert_eq!(nearest("cuont", ["rest", "count"]), Some("count"));
    }

    #[track_caller]
    fn apart(left: &str, right: &str, slips: usize) {
        assert_eq!((distance(left, right), distance(right, left)), (slips, slips));
    }

    #[test]
    fn each_slip_counts_once() {
        apart("", "", 0);
        apart("Step", "sTEP", 0);
        apart("ab", "ba", 1);
        apart("abcd", "badc", 2);
        apart("count", "discount", 3);
        apart("count", "cow", 3);
        apart("ab", "bxa", 3);
    }
}
