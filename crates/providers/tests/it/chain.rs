//! Who answers, when those before it fail in every way.

use std::sync::Arc;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::protocol::event::{Event, Status};
use ccpool::provider::{Conversation, FunctionCall, Message, Provider, Refused, Reply};
use ccpool::{FailureKind, HealthStatus};
use ccpool_providers::Chain;
use futures::StreamExt;
use serde_json::{Map, json};

use crate::fake::{Act, Fake, completed, delta, failed, started};

const SECOND: Duration = Duration::from_secs(1);

/// Kinds after which somebody else may answer.
const NEXT: [FailureKind; 8] = [
    FailureKind::Exhausted,
    FailureKind::Unavailable,
    FailureKind::Auth,
    FailureKind::RateLimited,
    FailureKind::Overloaded,
    FailureKind::Stalled,
    FailureKind::ContainerLost,
    FailureKind::Internal,
];

/// Three providers, of which the first is asked for `opus`, and then the others.
pub(crate) struct World {
    pub(crate) docker: Arc<Fake>,
    pub(crate) cli: Arc<Fake>,
    pub(crate) api: Arc<Fake>,
    pub(crate) chain: Chain,
}

impl World {
    pub(crate) fn new() -> Self {
        let (docker, cli, api) = (
            Fake::new("docker-claude-code"),
            Fake::new("claude-cli"),
            Fake::new("anthropic"),
        );
        let mut config = Config::default();
        config.model.fallbacks = ["claude-cli/opus", "anthropic/claude-x"]
            .map(|model| model.parse().expect("a model"))
            .to_vec();
        let providers: [Arc<dyn Provider>; 3] = [docker.clone(), cli.clone(), api.clone()];
        let chain = Chain::new(providers.to_vec(), &config).expect("a chain");
        Self {
            docker,
            cli,
            api,
            chain,
        }
    }

    pub(crate) async fn ask(&self) -> Result<Reply, Refused> {
        self.chain.reply(asked(None)).await
    }

    /// The events of an answer.
    pub(crate) async fn heard(&self) -> Vec<Event> {
        all(self.ask().await.expect("an answer")).await
    }

    /// Who was asked since the last time.
    pub(crate) fn who(&self) -> Vec<&'static str> {
        let names = [
            (&self.docker, "docker"),
            (&self.cli, "cli"),
            (&self.api, "api"),
        ];
        let asked = names.map(|(fake, name)| vec![name; fake.asked().len()]);
        asked.concat()
    }
}

pub(crate) fn asked(model: Option<&str>) -> Conversation {
    Conversation {
        model: model.map(Into::into),
        messages: vec![
            Message::user("one"),
            Message::assistant("two"),
            Message::user("three"),
        ],
        ..Conversation::default()
    }
}

pub(crate) async fn all(reply: Reply) -> Vec<Event> {
    reply.events.map(|event| event.event).collect().await
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::type_name).collect()
}

fn status() -> Event {
    Event::Status {
        status: Status::Retry,
        detail: Map::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn before_any_output_the_kind_decides() {
    for kind in FailureKind::ALL {
        let begun = vec![started(), status(), failed(kind, |_| {})];
        for act in [Act::Refuse(kind, None), Act::Tell(begun)] {
            let world = World::new();
            world.docker.will([act.clone()]);
            let reply = world.ask().await;
            if NEXT.contains(&kind) {
                let reply = reply.expect("the next one answers");
                assert_eq!(reply.provider, "claude-cli", "{act:?}");
                assert_eq!(reply.passed.len(), 1);
                assert_eq!(reply.passed[0].kind, kind);
                let events = all(reply).await;
                // Nothing of what failed was told.
                let told = ["status", "started", "text_delta", "completed"];
                assert_eq!(names(&events), told, "{act:?}");
                assert_eq!(world.who(), ["docker", "cli"], "{act:?}");
            } else {
                let refused = reply.expect_err("nobody else is asked");
                assert_eq!((refused.kind, refused.passed.len()), (kind, 0), "{act:?}");
                assert_eq!(world.who(), ["docker"], "{act:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_output_or_a_tools_effect_nobody_else_is_asked() {
    let tool = Event::ToolUse {
        tool_use_id: "u".into(),
        name: "Bash".into(),
        input: json!({}),
        parent_tool_use_id: None,
    };
    let thinking = Event::ThinkingDelta {
        message_id: "m".into(),
        block: 0,
        text: "hm".into(),
    };
    for kind in FailureKind::ALL {
        for (shown, sees, acts) in [
            (vec![started(), delta("half")], true, false),
            (vec![started(), tool.clone()], false, true),
            (vec![started(), thinking.clone()], false, false),
            // It has seen or done something of which nothing was told.
            (vec![started()], true, false),
            (vec![started()], false, true),
        ] {
            let world = World::new();
            let end = failed(kind, |failed| {
                (failed.visible_output, failed.tool_effects) = (sees, acts);
            });
            let told = [shown, vec![end]].concat();
            world.docker.will([Act::Tell(told.clone())]);
            assert_eq!(world.heard().await, told, "{kind}");
            assert_eq!(world.who(), ["docker"], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_failure_says_what_was_passed_on_even_if_its_provider_does_not() {
    let world = World::new();
    let silent = failed(FailureKind::ContainerLost, |_| {});
    world.docker.will([Act::Tell(vec![delta("half"), silent])]);
    let events = world.heard().await;
    let Some(Event::Failed(failed)) = events.last() else {
        panic!("{events:?}");
    };
    assert!(failed.visible_output);
}

#[tokio::test]
async fn every_hop_is_told_first_and_the_conversation_moves_along() {
    let world = World::new();
    world
        .docker
        .will([Act::Refuse(FailureKind::Unavailable, None)]);
    let overloaded = failed(FailureKind::Overloaded, |_| {});
    world.cli.will([Act::Tell(vec![started(), overloaded])]);
    let reply = world.ask().await.expect("the third one answers");
    assert_eq!(
        (&*reply.provider, &*reply.model),
        ("anthropic", "claude-opus")
    );
    assert_eq!(reply.turn.as_str(), "t-anthropic");
    let passed = serde_json::to_value(&reply.passed).expect("JSON");
    let wanted = json!([
        {"provider": "docker-claude-code/opus", "kind": "unavailable",
         "message": "docker-claude-code will not"},
        {"provider": "claude-cli/opus", "kind": "overloaded", "message": "so it is"},
    ]);
    assert_eq!(passed, wanted);
    let events: Vec<_> = reply.events.collect().await;
    assert!(
        events
            .iter()
            .all(|event| event.turn.as_str() == "t-anthropic")
    );
    let told = serde_json::to_value(&events[..2]).expect("JSON");
    for (at, to) in ["claude-cli/opus", "anthropic/claude-x"].iter().enumerate() {
        assert_eq!(told[at]["status"], "provider_fallback");
        let hop = &wanted[at];
        let detail = json!({"from": hop["provider"], "to": to, "kind": hop["kind"],
            "message": hop["message"]});
        assert_eq!(told[at]["detail"], detail);
    }
    // Each was told the whole conversation, and its own model.
    for (fake, model) in [
        (&world.docker, "docker-claude-code/opus"),
        (&world.cli, "claude-cli/opus"),
        (&world.api, "anthropic/claude-x"),
    ] {
        assert_eq!(fake.asked(), [asked(Some(model))]);
    }
}

#[tokio::test]
async fn when_nobody_answers_all_are_named() {
    let world = World::new();
    let minute = Some(SECOND * 60);
    world
        .docker
        .will([Act::Refuse(FailureKind::RateLimited, minute)]);
    let soon = failed(FailureKind::Overloaded, |failed| {
        failed.retry_after_ms = Some(3000);
    });
    world.cli.will([Act::Tell(vec![soon])]);
    world.api.will([Act::Refuse(FailureKind::Auth, None)]);
    let refused = world.ask().await.expect_err("nobody answers");
    assert_eq!(
        refused.kind,
        FailureKind::RateLimited,
        "the one that was wanted"
    );
    assert_eq!(refused.retry_after, Some(SECOND * 3));
    let kinds: Vec<_> = refused.passed.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["rate_limited", "overloaded", "auth"]);
    for name in [
        "docker-claude-code/opus",
        "claude-cli/opus",
        "anthropic/claude-x",
    ] {
        assert!(refused.message.contains(name), "{refused}");
    }
    // A request that no provider can answer ends the search.
    let world = World::new();
    world
        .docker
        .will([Act::Refuse(FailureKind::Unavailable, None)]);
    world
        .cli
        .will([Act::Refuse(FailureKind::InvalidRequest, None)]);
    let refused = world.ask().await.expect_err("nobody answers");
    assert_eq!(
        (refused.kind, refused.passed.len()),
        (FailureKind::InvalidRequest, 1)
    );
    assert_eq!(world.who(), ["docker", "cli"]);
}

#[tokio::test]
async fn an_answer_without_an_end_gets_one() {
    let world = World::new();
    world.docker.will([Act::Tell(vec![started()])]);
    let reply = world.ask().await.expect("the next one answers");
    assert_eq!(reply.passed[0].kind, FailureKind::Unavailable);
    drop(reply);
    world
        .docker
        .will([Act::Tell(vec![started(), delta("half")])]);
    let events = world.heard().await;
    assert_eq!(names(&events), ["started", "text_delta", "failed"]);
    let Some(Event::Failed(failed)) = events.last() else {
        panic!("{events:?}");
    };
    assert!(failed.visible_output && failed.kind == FailureKind::Unavailable);
}

#[tokio::test]
async fn nothing_follows_an_end() {
    let call = FunctionCall {
        id: "c".into(),
        name: "look".into(),
        arguments: json!({}),
    };
    let calls = Event::FunctionCalls {
        calls: vec![call],
        expires_at: None,
        usage: None,
    };
    for end in [
        completed("a"),
        calls,
        failed(FailureKind::InvalidRequest, |failed| {
            failed.visible_output = true;
        }),
    ] {
        let world = World::new();
        let told = vec![started(), end.clone(), delta("more"), completed("again")];
        world.docker.will([Act::Stop(told)]);
        assert_eq!(world.heard().await, [started(), end]);
        assert_eq!(world.docker.waited_for(), 0);
    }
}

#[tokio::test]
async fn whoever_goes_away_gives_up_what_was_asked() {
    let world = World::new();
    world.docker.will([
        Act::Hang,
        Act::Stop(vec![started()]),
        Act::Stop(answer_begun()),
    ]);
    // Before it begins, while it is held back, and in the middle of it.
    for _ in 0..2 {
        let mut asking = Box::pin(world.ask());
        assert!(futures::poll!(&mut asking).is_pending());
        assert_eq!(world.docker.waited_for(), 1);
        drop(asking);
        assert_eq!(world.docker.waited_for(), 0);
    }
    let mut reply = world.ask().await.expect("it begins");
    assert_eq!(reply.events.next().await.expect("more").event, started());
    assert_eq!(world.docker.waited_for(), 1);
    drop(reply);
    assert_eq!(world.docker.waited_for(), 0);
    assert_eq!(world.who(), ["docker"; 3]);
}

fn answer_begun() -> Vec<Event> {
    vec![started(), delta("half")]
}

#[tokio::test]
async fn the_first_words_are_passed_on_at_once() {
    let world = World::new();
    world.docker.will([Act::Stop(answer_begun())]);
    let mut reply = world.ask().await.expect("it begins");
    for wanted in answer_begun() {
        assert_eq!(reply.events.next().await.expect("more").event, wanted);
    }
}

#[tokio::test]
async fn callers_choose_among_what_there_is() {
    let world = World::new();
    let reply = world.chain.reply(asked(Some("anthropic/claude-y"))).await;
    assert_eq!(reply.expect("an answer").provider, "anthropic");
    assert_eq!(world.api.asked(), [asked(Some("anthropic/claude-y"))]);
    let refused = world.chain.reply(asked(Some("openai/gpt"))).await;
    let refused = refused.expect_err("there is none");
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    for name in ["docker-claude-code", "claude-cli", "anthropic"] {
        assert!(refused.message.contains(name), "{refused}");
    }
    assert!(world.who().is_empty());
    assert_eq!(
        world.chain.models(),
        [
            "docker-claude-code/opus",
            "claude-cli/opus",
            "anthropic/claude-x",
            "anthropic/opus"
        ]
    );
    assert_eq!(world.chain.name(), "docker-claude-code");
}

#[tokio::test]
async fn a_chain_of_one_does_the_same() {
    let docker = Fake::new("docker-claude-code");
    let chain = Chain::new(vec![docker.clone()], &Config::default()).expect("a chain");
    let begun = vec![
        started(),
        failed(FailureKind::Unavailable, |failed| {
            failed.retry_after_ms = Some(2000);
        }),
    ];
    docker.will([Act::Tell(begun)]);
    let refused = chain
        .reply(asked(None))
        .await
        .expect_err("nobody else is there");
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert_eq!(
        (refused.retry_after, refused.passed.len()),
        (Some(SECOND * 2), 1)
    );
    // It asked to be left alone.
    let refused = chain.reply(asked(None)).await.expect_err("it is not asked");
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!(
        refused.retry_after.is_some_and(|wait| wait <= SECOND * 2),
        "{refused:?}"
    );
    assert_eq!(docker.asked().len(), 1);
}

#[tokio::test]
async fn a_chain_of_one_is_asked_however_often_it_has_failed() {
    let docker = Fake::new("docker-claude-code");
    let chain = Chain::new(vec![docker.clone()], &Config::default()).expect("a chain");
    docker.will(vec![Act::Refuse(FailureKind::Unavailable, None); 10]);
    for _ in 0..10 {
        let refused = chain
            .reply(asked(None))
            .await
            .expect_err("it does not answer");
        assert_eq!(refused.kind, FailureKind::Unavailable);
        assert_eq!(docker.asked().len(), 1);
    }
    assert_eq!(
        chain.health().await.status,
        HealthStatus::Ok,
        "its own word"
    );
    let reply = chain.reply(asked(None)).await.expect("it works again");
    assert_eq!(all(reply).await.len(), 3);
}

#[tokio::test]
async fn a_model_without_a_provider_is_told() {
    let mut config = Config::default();
    config.model.fallbacks = vec!["anthropic/claude-x".parse().expect("a model")];
    let docker: Arc<dyn Provider> = Fake::new("docker-claude-code");
    let error = Chain::new(vec![docker], &config).expect_err("one is missing");
    assert_eq!(error.model, "anthropic/claude-x");
    assert_eq!(error.known, ["docker-claude-code"]);
}

#[tokio::test(start_paused = true)]
async fn health_names_who_is_not_well() {
    let world = World::new();
    assert_eq!(world.chain.health().await.status, HealthStatus::Ok);
    for kind in [FailureKind::Stalled; 3] {
        world.docker.will([Act::Refuse(kind, None)]);
        world.ask().await.expect("the next one answers");
    }
    let health = world.chain.health().await;
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(
        health.reasons,
        ["docker-claude-code: it has failed (stalled) and is asked again in 1000 ms"]
    );
    let minute = Some(SECOND * 60);
    world
        .cli
        .will([Act::Refuse(FailureKind::RateLimited, minute)]);
    world
        .api
        .will([Act::Refuse(FailureKind::RateLimited, minute)]);
    world.ask().await.expect_err("nobody answers");
    let health = world.chain.health().await;
    assert_eq!(
        (health.status, health.reasons.len()),
        (HealthStatus::Unavailable, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn what_works_again_is_asked_again() {
    let world = World::new();
    world
        .docker
        .will([FailureKind::Unavailable; 3].map(|kind| Act::Refuse(kind, None)));
    for _ in 0..4 {
        world.heard().await;
    }
    assert_eq!(
        world.who(),
        ["docker", "docker", "docker", "cli", "cli", "cli", "cli"]
    );
    tokio::time::advance(SECOND).await;
    assert_eq!(
        world.ask().await.expect("an answer").provider,
        "docker-claude-code"
    );
    assert_eq!(world.who(), ["docker"]);
}
