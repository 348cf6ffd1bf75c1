//! What a failure means for a chain. Decided by its kind alone, never by its text.

use ccpool::FailureKind;

/// Whether the next provider is asked, when nothing was said and no tool has acted.
pub(super) fn goes_on(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Exhausted
        | FailureKind::Unavailable
        | FailureKind::Auth
        | FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::Stalled
        | FailureKind::ContainerLost
        // A defect of this provider is none of the next one's.
        | FailureKind::Internal => true,
        // It would fail everywhere.
        FailureKind::InvalidRequest
        // Somebody wanted it to end.
        | FailureKind::Interrupted
        // What was set as the limit of a turn is used up, and is not granted once more elsewhere.
        | FailureKind::MaxTurns
        | FailureKind::Timeout => false,
    }
}

/// What a failure says of the provider itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// It works.
    Well,
    /// It does not.
    Ill,
    /// Neither.
    Silent,
}

/// What a failure of this kind says of the provider itself.
pub(super) fn witness(kind: FailureKind) -> Witness {
    match kind {
        FailureKind::Unavailable
        | FailureKind::Auth
        | FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::Stalled
        | FailureKind::ContainerLost
        | FailureKind::Internal => Witness::Ill,
        FailureKind::InvalidRequest | FailureKind::MaxTurns => Witness::Well,
        // Whoever has a container is served all the same.
        FailureKind::Exhausted | FailureKind::Interrupted | FailureKind::Timeout => Witness::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the manual: `| `kind` | yes or no | opens, closes or nothing | why |`.
    #[test]
    fn the_manual_says_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fallback.md");
        let manual = std::fs::read_to_string(path).expect("the page is there");
        for kind in FailureKind::ALL {
            let begin = format!("| `{kind}` | ");
            let row = manual.lines().find_map(|line| line.strip_prefix(&begin));
            let row = row.unwrap_or_else(|| panic!("{kind} is not in the table"));
            let next = if goes_on(kind) { "yes" } else { "no" };
            let says = match witness(kind) {
                Witness::Well => "works",
                Witness::Ill => "fails",
                Witness::Silent => "nothing",
            };
            assert!(
                row.starts_with(&format!("{next} | {says} |")),
                "{kind}: {row}"
            );
        }
    }
}
