//! The Messages API asked straight, with the scripted model in its place.

use std::time::Duration;

use ccpool::config::Secret;
use ccpool::protocol::event::Event;
use ccpool::provider::{
    Content, Conversation, FunctionCall, FunctionTool, Message, Provider, Refused, Reply,
};
use ccpool::{FailureKind, HealthStatus, OutputSchema};
use ccpool_providers::{Anthropic, AnthropicSettings, Credential};
use ccpool_scripted_model::record::Credential as Shown;
use ccpool_scripted_model::{Auth, Outcome, Scene, ScriptedModel};
use futures::StreamExt;
use serde_json::{Map, Value, json};

use ccpool_testing::PATIENCE;

pub(crate) fn settings() -> AnthropicSettings {
    AnthropicSettings {
        url: "http://127.0.0.1:1/v1/messages".parse().expect("a URL"),
        credential: Some(Credential::ApiKey(Secret::new("sk-ant-fake"))),
        models: vec!["claude-first".into()],
        max_tokens: 1000,
        stall: PATIENCE,
        longest: None,
    }
}

pub(crate) fn provider(change: impl FnOnce(&mut AnthropicSettings)) -> Anthropic {
    let mut settings = settings();
    change(&mut settings);
    Anthropic::new(settings)
}

async fn model() -> (ScriptedModel, Anthropic) {
    let model = ScriptedModel::start("127.0.0.1:0".parse().expect("an address"));
    let model = model.await.expect("the model starts");
    let url = format!("{}/v1/messages", model.base_url());
    let provider = provider(|settings| settings.url = url.parse().expect("a URL"));
    (model, provider)
}

fn asked(prompt: &str) -> Conversation {
    Conversation {
        messages: vec![Message::user(prompt)],
        ..Conversation::default()
    }
}

fn playing(scene: &Value) -> Conversation {
    asked(&format!("[[do: {scene}]]"))
}

/// All events, of which exactly the last one is an end.
pub(crate) async fn all(reply: Reply) -> Vec<Event> {
    let events: Vec<_> = reply.events.map(|event| event.event).collect().await;
    let is_end =
        |event: &Event| event.is_terminal() || matches!(event, Event::FunctionCalls { .. });
    let ends = events.iter().filter(|event| is_end(event)).count();
    assert!(
        ends == 1 && events.last().is_some_and(is_end),
        "{events:#?}"
    );
    events
}

async fn answered(provider: &Anthropic, conversation: Conversation) -> Vec<Event> {
    all(provider.reply(conversation).await.expect("an answer")).await
}

async fn refused(provider: &Anthropic, conversation: Conversation) -> Refused {
    provider.reply(conversation).await.expect_err("a refusal")
}

fn text_of(events: &[Event]) -> String {
    let text = events.iter().filter_map(|event| match event {
        Event::TextDelta { text, .. } => Some(text.as_str()),
        _ => None,
    });
    text.collect()
}

#[tokio::test]
async fn an_answer_streams() {
    let (model, provider) = model().await;
    let scene = json!({"thinking": "hm", "text": "one two three",
        "usage": {"inputTokens": 11, "outputTokens": 3}});
    let reply = provider.reply(playing(&scene)).await.expect("an answer");
    assert_eq!(
        (reply.provider.as_str(), reply.model.as_str()),
        ("anthropic", "claude-first")
    );
    let events = all(reply).await;
    assert_eq!(events[0].type_name(), "started");
    assert!(
        events
            .iter()
            .any(|event| event.type_name() == "thinking_delta")
    );
    assert_eq!(text_of(&events), "one two three");
    let Some(Event::Completed(completed)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(completed.text, "one two three");
    assert_eq!(
        (completed.usage.input_tokens, completed.usage.output_tokens),
        (11, 3)
    );
    assert_eq!(completed.answer_usage, Some(completed.usage));
    assert_eq!(completed.stop_reason.as_deref(), Some("end_turn"));
    let request = &model.requests()[0];
    let shown = Shown::Fake("sk-ant-fake".into());
    assert_eq!(request.auth, Auth::ApiKey { credential: shown });
    assert_eq!((request.max_tokens, request.stream), (Some(1000), true));
    model.shutdown().await;
}

#[tokio::test]
async fn an_answer_in_a_form() {
    let (model, provider) = model().await;
    let schema = json!({"type": "object", "required": ["town"]});
    let form = OutputSchema::new(schema.as_object().expect("an object").clone());
    let form = form.expect("a schema");
    for (said, output) in [
        (r#"{"town": "Bonn"}"#, Some(json!({"town": "Bonn"}))),
        ("Bonn, I think", None),
    ] {
        let conversation = Conversation {
            output_schema: Some(form.clone()),
            ..playing(&json!({"text": said}))
        };
        let events = answered(&provider, conversation).await;
        let Some(Event::Completed(completed)) = events.last() else {
            panic!("{events:?}");
        };
        assert_eq!(completed.structured_output, output);
    }
    let body = model.requests()[0].body().expect("a body").clone();
    let format = json!({"type": "json_schema", "schema": schema});
    assert_eq!(body["output_config"], json!({"format": format}));
    model.shutdown().await;
}

#[tokio::test]
async fn the_whole_conversation_is_told() {
    let (model, provider) = model().await;
    let conversation = Conversation {
        model: Some("anthropic/sonnet".into()),
        system: Some("Be brief.".into()),
        messages: vec![
            Message::user("My favourite colour is teal."),
            Message::assistant("I see."),
            Message::user("What is my favourite colour?"),
        ],
        ..Conversation::default()
    };
    let reply = provider.reply(conversation).await.expect("an answer");
    assert_eq!(reply.model, "claude-sonnet-5-5");
    let events = all(reply).await;
    assert!(text_of(&events).contains("teal"), "{events:?}");
    let request = &model.requests()[0];
    assert_eq!(request.model.as_deref(), Some("claude-sonnet-5-5"));
    assert_eq!(
        (request.system_text().as_str(), request.message_count),
        ("Be brief.", 3)
    );
    model.shutdown().await;
}

#[tokio::test]
async fn functions_are_called_and_their_results_come_with_the_next_request() {
    let (model, provider) = model().await;
    let scene = json!([
        {"text": "I look.", "toolUse": {"id": "call_1", "name": "look", "input": {"at": "pond"}},
            "usage": {"inputTokens": 11, "outputTokens": 3, "cacheReadInputTokens": 400}},
        {"text": "There is {{toolResult}}."},
    ]);
    let mut conversation = playing(&scene);
    conversation.tools = vec![FunctionTool {
        name: "look".into(),
        description: String::new(),
        parameters: Map::new(),
    }];
    let events = answered(&provider, conversation.clone()).await;
    let call = FunctionCall {
        id: "call_1".into(),
        name: "look".into(),
        arguments: json!({"at": "pond"}),
    };
    let Some(Event::FunctionCalls { calls, usage, .. }) = events.last() else {
        panic!("{events:?}");
    };
    let used = usage.map(|usage| (usage.prompt(), usage.output_tokens));
    assert_eq!(used, Some((411, 3)));
    assert_eq!(calls.as_slice(), std::slice::from_ref(&call));
    conversation.messages.extend([
        Message::Assistant {
            text: text_of(&events),
            calls: vec![call],
        },
        Message::Tool {
            call: "call_1".into(),
            content: vec![Content::Text("a heron".into())],
        },
    ]);
    let events = answered(&provider, conversation).await;
    assert_eq!(text_of(&events), "There is a heron.");
    model.shutdown().await;
}

#[tokio::test]
async fn every_refusal_has_its_kind() {
    let (model, provider) = model().await;
    for (status, kind) in [
        (400, FailureKind::InvalidRequest),
        (401, FailureKind::Auth),
        (402, FailureKind::Auth),
        (403, FailureKind::Auth),
        (413, FailureKind::InvalidRequest),
        (500, FailureKind::Unavailable),
        (503, FailureKind::Overloaded),
        (529, FailureKind::Overloaded),
    ] {
        let refused = refused(&provider, playing(&json!({"error": status}))).await;
        assert_eq!(
            (refused.kind, refused.retry_after),
            (kind, None),
            "{status}: {refused}"
        );
    }
    let limited = json!({"error": {"status": 429, "retryAfter": 7}});
    let limited = refused(&provider, playing(&limited)).await;
    let told = (limited.kind, limited.retry_after);
    assert_eq!(
        told,
        (FailureKind::RateLimited, Some(Duration::from_secs(7)))
    );
    let unknown = Conversation {
        model: Some("anthropic/no-such-model".into()),
        ..asked("hello")
    };
    assert_eq!(
        refused(&provider, unknown).await.kind,
        FailureKind::InvalidRequest
    );
    let dropped = refused(&provider, playing(&json!({"drop": true}))).await;
    assert_eq!(dropped.kind, FailureKind::Unavailable, "{dropped}");
    // Nothing was asked twice.
    assert_eq!(model.requests().len(), 11);
    model.shutdown().await;
}

#[tokio::test]
async fn what_breaks_in_the_middle_says_what_was_seen() {
    let (model, provider) = model().await;
    for (scene, kind, is_visible) in [
        (
            json!({"text": "one two three", "delayMs": 20, "disconnectAfter": 2}),
            FailureKind::Unavailable,
            true,
        ),
        (
            json!({"text": "one", "disconnectAfter": 0}),
            FailureKind::Unavailable,
            false,
        ),
        (
            json!({"text": "one two", "errorAfter": {"chunks": 1, "status": 529}}),
            FailureKind::Overloaded,
            true,
        ),
        (
            json!({"text": "one two", "errorAfter": {"chunks": 0, "status": 429}}),
            FailureKind::RateLimited,
            false,
        ),
        (
            json!({"text": "no", "stopReason": "refusal"}),
            FailureKind::InvalidRequest,
            true,
        ),
    ] {
        let events = answered(&provider, playing(&scene)).await;
        let Some(Event::Failed(failed)) = events.last() else {
            panic!("{scene}: {events:?}");
        };
        assert_eq!(
            (failed.kind, failed.visible_output),
            (kind, is_visible),
            "{scene}"
        );
        assert!(!failed.tool_effects);
    }
    model.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_hung_up_on() {
    let (model, provider) = model().await;
    let scene = json!({"text": "one two three", "stallAfter": 1});
    let mut reply = provider.reply(playing(&scene)).await.expect("an answer");
    while reply
        .events
        .next()
        .await
        .expect("it goes on")
        .event
        .type_name()
        != "text_delta"
    {}
    drop(reply);
    let gone = model.wait_for_request(
        |request| request.outcome() == Some(Outcome::ClientGone),
        PATIENCE,
    );
    gone.await.expect("the model sees that nobody listens");
    model.shutdown().await;
}

#[tokio::test]
async fn without_a_credential_or_a_service_it_says_so_at_once() {
    let none = provider(|settings| settings.credential = None);
    assert_eq!(none.health().await.status, HealthStatus::Unavailable);
    let refusal = refused(&none, asked("hello")).await;
    assert_eq!(refusal.kind, FailureKind::Auth);
    assert!(refusal.message.contains("ANTHROPIC_API_KEY"));
    // Nobody listens there.
    let nobody = provider(|_| {});
    assert_eq!(nobody.health().await.status, HealthStatus::Ok);
    let refusal = refused(&nobody, asked("hello")).await;
    assert_eq!(refusal.kind, FailureKind::Unavailable, "{refusal}");
    assert!(!format!("{nobody:?} {refusal:?}").contains("sk-ant-fake"));
    let odd = provider(|settings| {
        settings.credential = Some(Credential::Token(Secret::new("a\nb")));
    });
    assert_eq!(refused(&odd, asked("hello")).await.kind, FailureKind::Auth);
}

#[tokio::test]
async fn queued_scenes_answer_bearer_tokens_too() {
    let (model, provider) = model().await;
    model.push(Scene::text("queued"));
    let url = format!("{}/v1/messages", model.base_url());
    let token = crate::anthropic::provider(|settings| {
        settings.url = url.parse().expect("a URL");
        settings.credential = Some(Credential::Token(Secret::new("fake-token")));
    });
    assert_eq!(text_of(&answered(&token, asked("hello")).await), "queued");
    let shown = Shown::Fake("fake-token".into());
    assert_eq!(model.requests()[0].auth, Auth::Bearer { credential: shown });
    let models = provider.models();
    assert_eq!(models, ["claude-first", "opus", "sonnet", "haiku"]);
    model.shutdown().await;
}
