//! `openai`: the interface of the OpenAI API.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::aside_frame::AsideFrame;
use super::given::Given;
use super::key_path::KeyPath;
use super::show::millis;
use super::units::Millis;
use super::validate::Check;
use crate::provider::SystemMode;

/// How the gateway speaks with clients of the OpenAI API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAi {
    /// What a client's system prompt does to the one of Claude Code.
    pub system_prompt: SystemMode,
    /// After so long without a word a stream says that it lives. A stream's status is settled by
    /// then at the latest.
    pub keep_alive: Duration,
    /// Whether clients are told what the model thinks before it speaks, as `reasoning_content`.
    pub reasoning: bool,
    /// Whose messages of a user's are none: a client's software adds them to a prompt, and leaves
    /// them out when it tells the conversation again.
    pub asides: Vec<AsideFrame>,
    /// When clients are told to come back while nobody can answer. None: as soon as it makes sense.
    pub unavailable_retry_after: Option<Duration>,
}

/// How the gateway speaks with clients of the OpenAI API.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawOpenAi {
    /// What a client's system prompt does to the one of Claude Code: `append` or `replace`.
    system_prompt: Given<SystemMode>,
    /// How long a stream is silent before it says that it lives, in milliseconds.
    keep_alive_ms: Given<Millis<1>>,
    /// Tell what the model thinks before it speaks, as `reasoning_content`.
    reasoning: Given<bool>,
    /// How software of clients marks messages that it adds to a prompt and does not keep.
    asides: Given<Vec<AsideFrame>>,
    /// When clients are told to come back while nobody can answer, in milliseconds.
    unavailable_retry_after_ms: Given<Millis<1>>,
}

/// OpenClaw's own.
const OPENCLAW: [(&str, &str); 2] = [
    ("begin", "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"),
    ("end", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"),
];

impl Default for RawOpenAi {
    fn default() -> Self {
        Self {
            system_prompt: Given::of("append"),
            keep_alive_ms: Given::of(15_000),
            reasoning: Given::of(true),
            asides: Given::of(vec![BTreeMap::from(OPENCLAW)]),
            unavailable_retry_after_ms: Given::unset(),
        }
    }
}

impl Check<'_> {
    pub(super) fn openai(&mut self, raw: &RawOpenAi) -> OpenAi {
        let RawOpenAi {
            system_prompt,
            keep_alive_ms,
            reasoning,
            asides,
            unavailable_retry_after_ms,
        } = raw;
        let default = RawOpenAi::default();
        let at = |key: &str| KeyPath::of("openai").key(key);
        OpenAi {
            system_prompt: self.value(&at("systemPrompt"), system_prompt, &default.system_prompt),
            keep_alive: self
                .value(&at("keepAliveMs"), keep_alive_ms, &default.keep_alive_ms)
                .into(),
            reasoning: self.value(&at("reasoning"), reasoning, &default.reasoning),
            asides: self.list(&at("asides"), asides),
            unavailable_retry_after: self
                .optional(&at("unavailableRetryAfterMs"), unavailable_retry_after_ms)
                .map(Into::into),
        }
    }
}

impl OpenAi {
    pub(super) fn shown(&self) -> Value {
        json!({
            "systemPrompt": match self.system_prompt {
                SystemMode::Append => "append",
                SystemMode::Replace => "replace",
            },
            "keepAliveMs": millis(self.keep_alive),
            "reasoning": self.reasoning,
            "asides": self.asides.iter().map(AsideFrame::shown).collect::<Vec<_>>(),
            "unavailableRetryAfterMs": self.unavailable_retry_after.map(millis),
        })
    }
}
