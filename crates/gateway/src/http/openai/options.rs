//! What is asked for besides an answer: what is honoured, what is let pass, and what is refused
//! because a client would be misled if it were let pass.

use ccpool::OutputSchema;
use ccpool::provider::Conversation;

use super::error::ApiError;
use super::field::{Field, Fields};
use super::tool;

const JSON: &str = "Answer with one JSON object and nothing else: no other words, no code fence.";

/// As many as the OpenAI API takes.
const MOST_STOPS: usize = 4;

/// Refuses what must not be ignored.
pub(super) fn refuse_what_would_mislead(body: &mut Fields) -> Result<(), ApiError> {
    let n = body.take("n");
    let only_one = n.refuse("must be 1: there is one answer to a conversation");
    if !matches!(n.whole()?, None | Some(1)) {
        return Err(only_one);
    }
    let logprobs = body.take("logprobs");
    let unknown = logprobs.refuse("cannot be told; leave it out");
    if logprobs.flag()? == Some(true) {
        return Err(unknown);
    }
    let top = body.take("top_logprobs");
    let unknown = top.refuse("cannot be told; leave it out");
    if !matches!(top.whole()?, None | Some(0)) {
        return Err(unknown);
    }
    for modality in body.take("modalities").list()?.unwrap_or_default() {
        let other = modality.refuse("must be \"text\"");
        if modality.text()?.as_deref() != Some("text") {
            return Err(other);
        }
    }
    let moderation = body.take("moderation");
    if !moderation.is_null() {
        return Err(moderation.refuse("is not carried out; leave it out"));
    }
    let functions = body.take("functions");
    let replaced = functions.refuse("are not taken; send tools instead");
    if !functions.list()?.unwrap_or_default().is_empty() {
        return Err(replaced);
    }
    let call = body.take("function_call");
    let replaced = call.refuse("is not taken; send tool_choice instead");
    let says_nothing = call.is_null()
        || (call.is_text() && matches!(call.text()?.as_deref(), Some("auto" | "none")));
    if says_nothing { Ok(()) } else { Err(replaced) }
}

/// Takes what a conversation has a place for.
pub(super) fn tell(conversation: &mut Conversation, body: &mut Fields) -> Result<(), ApiError> {
    conversation.model = body.take("model").text()?.filter(|name| !name.is_empty());
    conversation.tools = tool::tools(body.take("tools"))?;
    conversation.tool_choice = tool::choice(body.take("tool_choice"), &conversation.tools)?;
    conversation.single_calls = body.take("parallel_tool_calls").flag()? == Some(false);
    // The older name is still what most clients send.
    let older = tokens(body.take("max_tokens"))?;
    conversation.max_tokens = tokens(body.take("max_completion_tokens"))?.or(older);
    conversation.stop = stops(body.take("stop"))?;
    match form(body.take("response_format"))? {
        Form::Words => {}
        Form::Json => {
            let said = conversation
                .system
                .take()
                .into_iter()
                .chain([JSON.to_owned()]);
            conversation.system = Some(said.collect::<Vec<_>>().join("\n\n"));
        }
        Form::Schema(schema) => conversation.output_schema = Some(schema),
    }
    Ok(())
}

fn tokens(field: Field) -> Result<Option<u32>, ApiError> {
    let too_few = field.refuse("must be at least 1");
    match field.whole()? {
        Some(0) => Err(too_few),
        Some(count) => Ok(Some(u32::try_from(count).unwrap_or(u32::MAX))),
        None => Ok(None),
    }
}

fn stops(field: Field) -> Result<Vec<String>, ApiError> {
    if field.is_text() {
        return Ok(field.text()?.into_iter().collect());
    }
    let too_many = field.refuse(format!("has more than {MOST_STOPS} texts"));
    let stops = field.list()?.unwrap_or_default();
    if stops.len() > MOST_STOPS {
        return Err(too_many);
    }
    stops.into_iter().map(Field::needed_text).collect()
}

/// What an answer is to be.
enum Form {
    Words,
    /// An object, as a wish in the system prompt.
    Json,
    Schema(OutputSchema),
}

fn form(field: Field) -> Result<Form, ApiError> {
    let Some(mut format) = field.object()? else {
        return Ok(Form::Words);
    };
    match format.take("type").needed_text()?.as_str() {
        "text" => Ok(Form::Words),
        "json_object" => Ok(Form::Json),
        "json_schema" => {
            let mut asked = format.take("json_schema").needed_object()?;
            let schema = asked.take("schema").object()?.map(Fields::into_map);
            let schema = OutputSchema::new(schema.unwrap_or_default());
            let wrong = |error| asked.refuse(format!("has a schema that {error}"));
            Ok(Form::Schema(schema.map_err(wrong)?))
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(format.refuse(format!("has an unknown type, {shown:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use ccpool::provider::ToolChoice;
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<Conversation, String> {
        let mut conversation = Conversation {
            system: Some("Be brief.".to_owned()),
            ..Conversation::default()
        };
        let mut body = Field::body(body).needed_object().expect("an object");
        let done =
            refuse_what_would_mislead(&mut body).and_then(|()| tell(&mut conversation, &mut body));
        match done {
            Ok(()) => Ok(conversation),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    #[test]
    fn what_a_conversation_has_a_place_for() {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let conversation = read(json!({
            "model": "opus", "max_tokens": 5, "max_completion_tokens": 7, "stop": ["a", "b"],
            "tools": tools, "tool_choice": "required", "parallel_tool_calls": false,
        }))
        .unwrap();
        assert_eq!(conversation.model.as_deref(), Some("opus"));
        assert_eq!(conversation.max_tokens, Some(7));
        assert_eq!(conversation.stop, ["a", "b"]);
        assert_eq!(conversation.tools.len(), 1);
        assert_eq!(conversation.tool_choice, ToolChoice::Required);
        assert!(conversation.single_calls);

        let conversation = read(json!({"max_tokens": 5, "stop": "a", "model": ""})).unwrap();
        assert_eq!(conversation.max_tokens, Some(5));
        assert_eq!(conversation.stop, ["a"]);
        assert_eq!(conversation.model, None);
        assert!(!conversation.single_calls);
    }

    #[test]
    fn what_is_let_pass() {
        let passed = read(json!({
            "n": 1, "logprobs": false, "top_logprobs": 0, "modalities": ["text"],
            "functions": [], "function_call": "auto", "response_format": {"type": "text"},
            "temperature": 0.2, "top_p": 1, "seed": 7, "frequency_penalty": 0.1,
            "presence_penalty": 0, "logit_bias": {"50256": -100}, "reasoning_effort": "high",
            "verbosity": "low", "store": true, "service_tier": "auto", "prediction": {},
            "web_search_options": {}, "stop": null, "tools": [], "unheard_of": {"a": 1},
        }));
        let untouched = read(json!({})).unwrap();
        assert_eq!(passed.unwrap(), untouched);
    }

    #[test]
    fn what_would_mislead_is_refused() {
        for (body, said) in [
            (json!({"n": 2}), "n must be 1"),
            (json!({"n": 0}), "n must be 1"),
            (json!({"logprobs": true}), "logprobs cannot be told"),
            (json!({"top_logprobs": 3}), "top_logprobs cannot be told"),
            (
                json!({"modalities": ["text", "audio"]}),
                "modalities[1] must be \"text\"",
            ),
            (
                json!({"moderation": {"model": "m"}}),
                "moderation is not carried out",
            ),
            (
                json!({"functions": [{"name": "f"}]}),
                "functions are not taken; send tools",
            ),
            (
                json!({"function_call": {"name": "f"}}),
                "send tool_choice instead",
            ),
            (json!({"max_tokens": 0}), "max_tokens must be at least 1"),
            (
                json!({"max_completion_tokens": -1}),
                "must be a whole number",
            ),
            (
                json!({"stop": ["a", "b", "c", "d", "e"]}),
                "stop has more than 4",
            ),
            (json!({"model": 3}), "model is a number, and must be text"),
            (
                json!({"response_format": {"type": "xml"}}),
                "has an unknown type",
            ),
            (
                json!({"response_format": {}}),
                "response_format.type is missing",
            ),
            (
                json!({"response_format": {"type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"prefixItems": []}}}}),
                "response_format.json_schema has a schema that uses `prefixItems`",
            ),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert!(error.contains(said), "{body}: {error}");
        }
    }

    #[test]
    fn an_object_is_a_wish_and_a_schema_is_kept() {
        let read = |format: Value| read(json!({"response_format": format})).unwrap();
        let wish = read(json!({"type": "json_object"}));
        let said = wish.system.unwrap();
        assert!(
            said.starts_with("Be brief.\n\nAnswer with one JSON object"),
            "{said}"
        );
        assert_eq!(wish.output_schema, None);

        let schema = json!({"type": "object", "properties": {}});
        let asked = json!({"name": "x", "strict": true, "schema": schema});
        let kept = read(json!({"type": "json_schema", "json_schema": asked}));
        assert_eq!(kept.system.as_deref(), Some("Be brief."));
        assert_eq!(json!(kept.output_schema.unwrap()), schema);
    }
}
