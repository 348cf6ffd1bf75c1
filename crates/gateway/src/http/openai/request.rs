//! The body of `POST /v1/chat/completions`, as a conversation and how its answer is wanted.

use ccpool::config::OpenAi;
use ccpool::provider::Conversation;
use http::HeaderMap;
use serde_json::Value;

use super::error::ApiError;
use super::field::Field;
use super::sender::Sender;
use super::{message, options};

/// What is asked.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) conversation: Conversation,
    /// The answer as it comes, or in one piece.
    pub(super) stream: bool,
    /// With `stream`: a chunk with what was used, after the others.
    pub(super) include_usage: bool,
}

impl Asked {
    /// Reads a request.
    ///
    /// # Errors
    /// [`ApiError`] with the place of what cannot be taken.
    pub(super) fn read(
        headers: &HeaderMap,
        body: Value,
        settings: &OpenAi,
    ) -> Result<Self, ApiError> {
        let mut body = Field::body(body).needed_object()?;
        let Sender {
            caller,
            agent,
            name,
            shares_name,
        } = Sender::of(headers, &mut body)?;
        let mut conversation = Conversation {
            caller,
            agent,
            name,
            shares_name,
            system_mode: settings.system_prompt,
            ..Conversation::default()
        };
        options::refuse_what_would_mislead(&mut body)?;
        message::tell(&mut conversation, body.take("messages"), &settings.asides)?;
        options::tell(&mut conversation, &mut body)?;
        let stream = body.take("stream").flag()?.unwrap_or_default();
        let include_usage = match body.take("stream_options").object()? {
            Some(mut options) => options.take("include_usage").flag()?.unwrap_or_default(),
            None => false,
        };
        Ok(Self {
            conversation,
            stream,
            include_usage,
        })
    }
}

#[cfg(test)]
mod tests {
    use ccpool::config::Config;
    use ccpool::provider::{Message, SystemMode};
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Asked, ApiError> {
        let settings = OpenAi {
            system_prompt: SystemMode::Replace,
            ..Config::default().openai
        };
        Asked::read(&HeaderMap::new(), body, &settings)
    }

    #[test]
    fn a_whole_request() {
        let asked = read(json!({
            "model": "docker-claude-code/haiku",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hi"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true, "include_obfuscation": false},
            "prompt_cache_key": "s1",
        }))
        .unwrap();
        assert!(asked.stream && asked.include_usage);
        let conversation = Conversation {
            caller: asked.conversation.caller.clone(),
            name: Some("s1".to_owned()),
            model: Some("docker-claude-code/haiku".to_owned()),
            system: Some("Be brief.".to_owned()),
            system_mode: SystemMode::Replace,
            messages: vec![Message::user("hi")],
            ..Conversation::default()
        };
        assert_eq!(asked.conversation, conversation);
    }

    #[test]
    fn a_small_request() {
        let asked = read(json!({"messages": [{"role": "user", "content": "hi"}]})).unwrap();
        assert!(!asked.stream && !asked.include_usage);
        assert_eq!(asked.conversation.model, None);
        let nulls = json!({"messages": [{"role": "user", "content": "hi"}],
            "model": null, "stream": null, "stream_options": null, "metadata": null,
            "tools": null, "tool_choice": null, "user": null, "n": null, "stop": null});
        assert_eq!(read(nulls).unwrap(), asked);
    }

    #[test]
    fn the_place_of_what_is_wrong_is_named() {
        let error = read(json!({})).unwrap_err();
        assert_eq!(error.param(), Some("messages"));
        let error = read(json!({"messages": [{"role": "user", "content": "hi"}], "stream": "yes"}));
        assert_eq!(
            error.unwrap_err().message(),
            "stream is text, and must be true or false"
        );
    }
}
