//! What an answer used, by the names of the OpenAI API.

use ccpool_protocol::event::{Completed, Usage};
use serde::Serialize;
use utoipa::ToSchema;

/// Tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatCompletionUsage)]
pub(crate) struct Used {
    /// What the model has read last, from caches too: so full its context is.
    prompt_tokens: u64,
    /// All that it has written since it was asked, or was given the results of functions.
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
    /// In the answer that ends a turn of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<UsedByTurn>,
}

/// Tokens of a whole turn: all requests of the agent to its model together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = ChatCompletionTurnUsage)]
struct UsedByTurn {
    /// All that was read, from caches too; can be more than fits a context.
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
    /// US dollars, as the provider reckons; 0 where it knows no prices.
    cost_usd: f64,
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

impl Used {
    /// By an answer that calls functions. Zeros, if that is not known.
    pub(super) fn by_calls(usage: Option<Usage>) -> Self {
        Self::by(usage.unwrap_or_default(), None)
    }

    /// By the answer that ends a turn.
    pub(super) fn by_end(completed: &Completed) -> Self {
        let all = completed.usage;
        let turn = UsedByTurn {
            prompt_tokens: all.prompt(),
            completion_tokens: all.output_tokens,
            total_tokens: total(all),
            prompt_tokens_details: all.into(),
            cost_usd: completed.cost_usd,
        };
        Self::by(completed.answer_usage.unwrap_or(all), Some(turn))
    }

    fn by(usage: Usage, turn: Option<UsedByTurn>) -> Self {
        Self {
            prompt_tokens: usage.prompt(),
            completion_tokens: usage.output_tokens,
            total_tokens: total(usage),
            prompt_tokens_details: usage.into(),
            turn,
        }
    }
}

fn total(usage: Usage) -> u64 {
    usage.prompt().saturating_add(usage.output_tokens)
}

impl From<Usage> for PromptTokens {
    fn from(usage: Usage) -> Self {
        Self {
            cached_tokens: usage.cache_read_input_tokens,
            cache_write_tokens: usage.cache_creation_input_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ANSWER: Usage = Usage {
        input_tokens: 10,
        output_tokens: 5,
        cache_creation_input_tokens: 200,
        cache_read_input_tokens: 3000,
    };

    const TURN: Usage = Usage {
        input_tokens: 30,
        output_tokens: 9,
        cache_creation_input_tokens: 400,
        cache_read_input_tokens: 5000,
    };

    #[test]
    fn the_prompt_is_all_that_was_read_last() {
        let used = serde_json::to_value(Used::by_calls(Some(ANSWER))).unwrap();
        let answer = json!({
            "prompt_tokens": 3210,
            "completion_tokens": 5,
            "total_tokens": 3215,
            "prompt_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 200},
        });
        assert_eq!(used, answer);
        let mut completed = Completed {
            usage: TURN,
            answer_usage: Some(ANSWER),
            cost_usd: 0.5,
            ..Completed::default()
        };
        let turn = json!({
            "prompt_tokens": 5430,
            "completion_tokens": 9,
            "total_tokens": 5439,
            "prompt_tokens_details": {"cached_tokens": 5000, "cache_write_tokens": 400},
            "cost_usd": 0.5,
        });
        let mut whole = answer;
        whole["turn"] = turn.clone();
        let used = serde_json::to_value(Used::by_end(&completed)).unwrap();
        assert_eq!(used, whole);
        // Where nobody knows more, it is what the turn has used.
        completed.answer_usage = None;
        let used = serde_json::to_value(Used::by_end(&completed)).unwrap();
        assert_eq!(
            (&used["total_tokens"], &used["turn"]),
            (&turn["total_tokens"], &turn)
        );
    }

    #[test]
    fn what_is_not_known_is_nothing() {
        let used = serde_json::to_value(Used::by_calls(None)).unwrap();
        assert_eq!(used["total_tokens"], 0);
    }
}
