//! What an answer used, by the names of the OpenAI API.

use ccpool_protocol::event::Usage;
use serde::Serialize;
use utoipa::ToSchema;

/// Tokens. A whole turn's, all requests of the agent to its model together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatCompletionUsage)]
pub(crate) struct Used {
    /// All that was read, from caches too.
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
}

/// Of the tokens that were read, those that met a cache.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatCompletionPromptTokens)]
struct PromptTokens {
    /// Read from it.
    cached_tokens: u64,
    /// Written to it.
    cache_write_tokens: u64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        let prompt_tokens = usage
            .input_tokens
            .saturating_add(usage.cache_read_input_tokens)
            .saturating_add(usage.cache_creation_input_tokens);
        Self {
            prompt_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: prompt_tokens.saturating_add(usage.output_tokens),
            prompt_tokens_details: PromptTokens {
                cached_tokens: usage.cache_read_input_tokens,
                cache_write_tokens: usage.cache_creation_input_tokens,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_prompt_is_all_that_was_read() {
        let used = Used::from(Usage {
            input_tokens: 10,
            output_tokens: 5,
            cache_creation_input_tokens: 200,
            cache_read_input_tokens: 3000,
        });
        assert_eq!(
            serde_json::to_value(used).unwrap(),
            json!({
                "prompt_tokens": 3210,
                "completion_tokens": 5,
                "total_tokens": 3215,
                "prompt_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 200},
            })
        );
    }
}
