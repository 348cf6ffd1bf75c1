/// The candidate closest to `word` in spelling, if it is close enough to be a slip of the
/// hand: letter case is ignored, and at most a third of the letters (at least one, at most
/// three) may differ.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded: Vec<char> = fold(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let other = fold(candidate);
            (
                distance(&folded, &other),
                folded.len().max(other.len()),
                candidate,
            )
        })
        .filter(|(distance, length, _)| *distance <= (length / 3).clamp(1, 3))
        .min_by_key(|(distance, _, candidate)| (*distance, *candidate))
        .map(|(_, _, candidate)| candidate)
}

/// Case, `_` and `-` are what people get wrong first, so they do not count as differences.
fn fold(word: &str) -> Vec<char> {
    // Longer than any key: the comparison is quadratic and the word comes from a file.
    word.chars()
        .take(64)
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Optimal string alignment: insert, delete, replace, or swap two neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(previous[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = [
        "minWarm",
        "maxTotal",
        "maxPerAgent",
        "claimTimeoutMs",
        "adaptive",
    ];

    #[test]
    fn slips_find_their_key() {
        for (slip, key) in [
            ("minwarm", "minWarm"),
            ("min_warm", "minWarm"),
            ("mniWarm", "minWarm"),
            ("maxTotals", "maxTotal"),
            ("claimTimeout", "claimTimeoutMs"),
            ("max-per-agent", "maxPerAgent"),
        ] {
            assert_eq!(nearest(slip, KEYS), Some(key), "{slip}");
        }
    }

    #[test]
    fn strangers_find_nothing() {
        for stranger in ["replicas", "x", ""] {
            assert_eq!(nearest(stranger, KEYS), None, "{stranger}");
        }
    }
}
