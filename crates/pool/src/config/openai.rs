//! `openai`: the interface of the OpenAI API.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    /// Whether clients are told what the model thinks, as `reasoning_content`.
    pub reasoning: bool,
}

/// How the gateway speaks with clients of the OpenAI API.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawOpenAi {
    /// What a client's system prompt does to the one of Claude Code: `append` or `replace`.
    system_prompt: Given<SystemMode>,
    /// How long a stream is silent before it says that it lives, in milliseconds.
    keep_alive_ms: Given<Millis<1>>,
    /// Tell what the model thinks, as `reasoning_content`.
    reasoning: Given<bool>,
}

impl Default for RawOpenAi {
    fn default() -> Self {
        Self {
            system_prompt: Given::of("append"),
            keep_alive_ms: Given::of(15_000),
            reasoning: Given::of(true),
        }
    }
}

impl Check<'_> {
    pub(super) fn openai(&mut self, raw: &RawOpenAi) -> OpenAi {
        let RawOpenAi {
            system_prompt,
            keep_alive_ms,
            reasoning,
        } = raw;
        let default = RawOpenAi::default();
        let at = |key: &str| KeyPath::of("openai").key(key);
        OpenAi {
            system_prompt: self.value(&at("systemPrompt"), system_prompt, &default.system_prompt),
            keep_alive: self
                .value(&at("keepAliveMs"), keep_alive_ms, &default.keep_alive_ms)
                .into(),
            reasoning: self.value(&at("reasoning"), reasoning, &default.reasoning),
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
        })
    }
}
