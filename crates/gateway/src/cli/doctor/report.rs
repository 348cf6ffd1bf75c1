//! What was checked, and what came of it.

use serde::Serialize;

/// One prerequisite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) name: &'static str,
    pub(super) ok: bool,
    /// What was found.
    pub(super) detail: String,
    /// What mends it, when it is not ok or could be better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            detail: detail.into(),
            mend: None,
        }
    }

    /// Nothing is in the way, but something should be otherwise.
    pub(super) fn warned(
        name: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            mend: Some(mend.into()),
            ..Self::ok(name, detail)
        }
    }

    pub(super) fn failed(
        name: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            name,
            ok: false,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }

    /// For a person: one line, and one more for the mend.
    pub(super) fn line(&self) -> String {
        let word = match (self.ok, &self.mend) {
            (true, None) => "ok    ",
            (true, Some(_)) => "warn  ",
            (false, _) => "FAILED",
        };
        let mut line = format!("{word}  {:<22} {}", self.name, self.detail);
        if let Some(mend) = &self.mend {
            line.push_str(&format!("\n{:31}mend: {mend}", ""));
        }
        line
    }
}
