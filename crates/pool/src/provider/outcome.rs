//! How conversations found their sessions, counted.

/// How one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has only begun.
    Fresh,
    /// A fresh session was told its history.
    HandedOver,
    /// It went on where it rested.
    Continued,
    /// It brought the results that its turn waited for.
    Resolved,
}

impl Outcome {
    pub(super) fn count(self) {
        metrics::counter!("ccpool_conversations_total", "outcome" => self.word()).increment(1);
    }

    /// What has not happened yet is shown as 0.
    pub(super) fn show_all() {
        for outcome in [
            Self::Fresh,
            Self::HandedOver,
            Self::Continued,
            Self::Resolved,
        ] {
            metrics::counter!("ccpool_conversations_total", "outcome" => outcome.word())
                .increment(0);
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::HandedOver => "handed_over",
            Self::Continued => "continued",
            Self::Resolved => "resolved",
        }
    }
}
