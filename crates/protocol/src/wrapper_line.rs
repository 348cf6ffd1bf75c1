//! The lines that the wrapper itself adds to those of `claude`.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Usage};
use crate::function::FunctionCall;
use crate::permission::{Behavior, PermissionOutcome, SettledBy};
use crate::{RequestId, UnixMs};

/// The wrapper's own lines: `{"type":"ccpool","subtype":…}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "subtype",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum WrapperLine {
    /// A prompt was taken and written to `claude`.
    Prompt {
        /// When it was pushed into Redis, where that is known (Unix ms).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushed_at: Option<u64>,
        /// When the wrapper took it out of the input list, where there was one (Unix ms).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_at: Option<u64>,
        /// When it was written to `claude` (Unix ms).
        sent_at: u64,
        /// It was steered into the running turn.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        steered: bool,
        /// Nobody asked for this turn: the CLI's reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<String>,
    },
    /// The turn has ended. Written once per turn, by whoever saw the end: it decides.
    Terminal { event: Event },
    /// Text on `claude`'s stdout that is no JSON.
    Noise { text: String },
    /// The next line is a permission request, which the policy answers then.
    PermissionAsked {
        request_id: RequestId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<UnixMs>,
    },
    /// A permission request is no longer open.
    PermissionResolved {
        request_id: RequestId,
        tool_use_id: String,
        outcome: PermissionOutcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behavior: Option<Behavior>,
        by: SettledBy,
    },
    /// The model has called functions of the caller's, which wait for their results until then.
    FunctionCalls {
        calls: Vec<FunctionCall>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<UnixMs>,
        /// What the answer that they end has used, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// `claude` hung or ended and was started again for the same session.
    Respawned {
        /// Why the one before it is gone, in one line.
        reason: String,
        /// It knows the conversation so far; `false` if there was none that could be taken up.
        resumed: bool,
        /// From the end of the old process to the first answer of the new one.
        took_ms: u64,
    },
}

impl WrapperLine {
    /// The JSON of the whole line.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Typed<'a> {
            r#type: &'static str,
            #[serde(flatten)]
            line: &'a WrapperLine,
        }
        serde_json::to_string(&Typed {
            r#type: "ccpool",
            line: self,
        })
        .expect("wrapper lines have string keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;

    #[test]
    fn they_come_back() {
        for line in [
            WrapperLine::Terminal {
                event: Event::failed(crate::FailureKind::ContainerLost, "gone"),
            },
            WrapperLine::Respawned {
                reason: "claude exited with code 1".into(),
                resumed: true,
                took_ms: 300,
            },
        ] {
            assert_eq!(Line::parse(&line.to_json()).unwrap(), Line::Wrapper(line));
        }
    }
}
