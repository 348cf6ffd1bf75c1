//! Tokens that were used.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Tokens, by the names of the Messages API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Usage {
    #[serde(default, alias = "inputTokens")]
    pub input_tokens: u64,
    #[serde(default, alias = "outputTokens")]
    pub output_tokens: u64,
    #[serde(default, alias = "cacheCreationInputTokens")]
    pub cache_creation_input_tokens: u64,
    #[serde(default, alias = "cacheReadInputTokens")]
    pub cache_read_input_tokens: u64,
}

impl Usage {
    /// Takes over what an event of the Messages API's stream says in its `usage`. The counts are of the
    /// whole message so far. One that is left out stays, and so does one that is 0: `message_delta`
    /// need not repeat what `message_start` has said.
    pub fn update(&mut self, said: &Value) {
        for (name, count) in [
            ("input_tokens", &mut self.input_tokens),
            ("output_tokens", &mut self.output_tokens),
            (
                "cache_creation_input_tokens",
                &mut self.cache_creation_input_tokens,
            ),
            ("cache_read_input_tokens", &mut self.cache_read_input_tokens),
        ] {
            let said = said.get(name).and_then(Value::as_u64);
            *count = said.filter(|said| *said > 0).unwrap_or(*count);
        }
    }

    /// All that was read, from caches and into them too.
    pub fn prompt(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_creation_input_tokens)
            .saturating_add(self.cache_read_input_tokens)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let [input, output, created, read] = [
            (self.input_tokens, other.input_tokens),
            (self.output_tokens, other.output_tokens),
            (
                self.cache_creation_input_tokens,
                other.cache_creation_input_tokens,
            ),
            (self.cache_read_input_tokens, other.cache_read_input_tokens),
        ]
        .map(|(one, other)| one.saturating_add(other));
        Self {
            input_tokens: input,
            output_tokens: output,
            cache_creation_input_tokens: created,
            cache_read_input_tokens: read,
        }
    }

    /// None if nothing was read, which says that nobody has counted.
    pub fn known(self) -> Option<Self> {
        (self.prompt() > 0).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_event_does_not_say_stays() {
        let mut usage = Usage::default();
        usage.update(
            &json!({"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 40,
            "cache_creation_input_tokens": 500, "service_tier": "standard"}),
        );
        assert_eq!((usage.prompt(), usage.output_tokens), (543, 1));
        for said in [
            json!(null),
            json!([7]),
            json!({}),
            json!({"input_tokens": 0, "cache_read_input_tokens": null}),
            json!({"input_tokens": "9", "output_tokens": -9, "cache_read_input_tokens": 9.5}),
        ] {
            let before = usage;
            usage.update(&said);
            assert_eq!(usage, before, "{said}");
        }
        usage.update(&json!({"output_tokens": 20, "cache_read_input_tokens": 41}));
        assert_eq!((usage.prompt(), usage.output_tokens), (544, 20));
    }

    #[test]
    fn each_count_is_added() {
        let of = |input, output, created, read| Usage {
            input_tokens: input,
            output_tokens: output,
            cache_creation_input_tokens: created,
            cache_read_input_tokens: read,
        };
        let sum = of(1, 2, 3, 4).plus(of(10, 20, 30, u64::MAX));
        assert_eq!(sum, of(11, 22, 33, u64::MAX));
    }

    #[test]
    fn what_has_read_nothing_was_not_counted() {
        let mut usage = Usage {
            output_tokens: 5,
            ..Usage::default()
        };
        assert_eq!(usage.known(), None);
        usage.cache_read_input_tokens = u64::MAX;
        usage.input_tokens = 1;
        assert_eq!(usage.prompt(), u64::MAX);
        assert_eq!(usage.known(), Some(usage));
    }
}
