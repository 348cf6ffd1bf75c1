use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address::HttpUrl;
use super::given::Given;
use super::key_path::KeyPath;
use super::units::Count;
use super::validate::Check;

/// Models that are asked without Claude Code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anthropic {
    /// Where the Messages API is; `None` is what the environment says, or Anthropic's own.
    pub base_url: Option<HttpUrl>,
    /// The longest answer in tokens, where the caller names none; at least 1.
    pub max_tokens: u32,
}

/// Models that are asked without Claude Code, as `anthropic/…`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAnthropic {
    /// Where the Messages API is; the environment's `ANTHROPIC_BASE_URL`, or else
    /// `https://api.anthropic.com`, if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    base_url: Given<HttpUrl>,
    /// The longest answer in tokens, where the caller names none.
    max_tokens: Given<Count<1>>,
}

impl Default for RawAnthropic {
    fn default() -> Self {
        Self {
            base_url: Given::unset(),
            max_tokens: Given::of(16_384),
        }
    }
}

impl Check<'_> {
    pub(super) fn anthropic(&mut self, raw: &RawAnthropic) -> Anthropic {
        let RawAnthropic {
            base_url,
            max_tokens,
        } = raw;
        let at = |key: &str| KeyPath::of("anthropic").key(key);
        let default = RawAnthropic::default();
        Anthropic {
            base_url: self.optional(&at("baseUrl"), base_url),
            max_tokens: self
                .value(&at("maxTokens"), max_tokens, &default.max_tokens)
                .0,
        }
    }
}

impl Anthropic {
    pub(super) fn shown(&self) -> Value {
        json!({
            "baseUrl": self.base_url.as_ref().map(|url| url.as_str()),
            "maxTokens": self.max_tokens,
        })
    }
}
