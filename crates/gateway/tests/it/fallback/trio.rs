//! The three providers, and what is said to them.

use std::sync::Arc;

use ccpool_scripted_model::{RecordedRequest, ScriptFile, ScriptedModel};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::gateway::{Folder, Gateway, Setup};
use crate::openai::chat::{Came, post};
use crate::parts::{PATIENCE, claude};

/// In the order in which they are asked.
pub(super) const PROVIDERS: [&str; 3] = ["docker-claude-code", "claude-cli", "anthropic"];

/// What they are asked for.
pub(super) const MODELS: [&str; 3] = [
    "docker-claude-code/opus",
    "claude-cli/opus",
    "anthropic/claude-x",
];

/// The kinds of scenes that a test plays, by name: what each model answers, in the order of
/// [`PROVIDERS`]. Null: it says who it is.
pub(super) type Scenes = [(&'static str, [Value; 3])];

/// A gateway that asks its pool, then the CLI of this host, then the Messages API.
pub(super) struct Trio {
    pub(super) gateway: Gateway,
    /// Of the CLI of this host.
    pub(super) cli: ScriptedModel,
    /// Of the Messages API.
    pub(super) straight: ScriptedModel,
    /// Where the CLI of this host is at home.
    _home: Folder,
}

/// What a model says without a scene.
pub(super) fn says(provider: &str) -> String {
    format!("This is {provider}.")
}

/// An error of the model's service.
pub(super) fn error(error: impl Into<Value>) -> Value {
    json!({"error": error.into()})
}

/// A prompt that plays a scene of this name.
pub(super) fn play(scene: &str) -> String {
    format!("[[script:{scene}]]")
}

/// A request without a model, whose only message is this text.
pub(super) fn asked(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

impl Trio {
    /// With a warm container.
    pub(super) async fn start(scenes: &Scenes) -> Self {
        let pool = json!({"minWarm": 1, "maxTotal": 8, "maxPerAgent": 8});
        Self::with(Setup::default().with("pool", pool), scenes).await
    }

    /// A gateway of this kind, with three providers. Nothing is asked twice by itself.
    pub(super) async fn with(setup: Setup, scenes: &Scenes) -> Self {
        let script = |provider: usize| {
            let said = |scene: &[Value; 3]| match &scene[provider] {
                Value::Null => json!({"text": says(PROVIDERS[provider])}),
                scene => scene.clone(),
            };
            let scenes = scenes.iter();
            let mut scenes: Map<String, Value> = scenes
                .map(|(name, scene)| ((*name).to_owned(), said(scene)))
                .collect();
            scenes.insert("itself".to_owned(), said(&Default::default()));
            let script = json!({"scenes": scenes, "default": "itself"});
            ScriptFile::parse(&script.to_string()).expect("the scenes are scenes")
        };
        let model = async |provider: usize| {
            let address = ["127.0.0.1:0".parse().expect("an address")];
            let model = ScriptedModel::start_with(&address, script(provider)).await;
            model.expect("the model starts")
        };
        let (cli, straight, home) = (model(1).await, model(2).await, Folder::new());
        let [primary, fallbacks @ ..] = MODELS;
        let mut setup = setup
            .with("model", json!({"primary": primary, "fallbacks": fallbacks}))
            .with("anthropic", json!({"baseUrl": straight.base_url()}))
            .with(
                "claudeCli",
                json!({"path": claude(), "clearEnv": true, "env": {
                    "HOME": home.path(),
                    "ANTHROPIC_API_KEY": "sk-ant-fake-host",
                    "ANTHROPIC_BASE_URL": cli.base_url(),
                    "CLAUDE_CODE_MAX_RETRIES": "0",
                }}),
            );
        setup.config["claude"]["env"]["CLAUDE_CODE_MAX_RETRIES"] = json!("0");
        setup.script = script(0);
        Self {
            gateway: Gateway::start(setup).await,
            cli,
            straight,
            _home: home,
        }
    }

    /// What comes back for this request.
    pub(super) async fn ask(&self, body: &Value) -> Came {
        Came::of(post(&self.gateway, body)).await
    }

    /// What comes back for this text.
    pub(super) async fn say(&self, text: &str) -> Came {
        self.ask(&asked(text)).await
    }

    /// How many requests for an answer each model has got, in the order of [`PROVIDERS`].
    pub(super) fn counts(&self) -> [usize; 3] {
        let models = [&*self.gateway.model, &self.cli, &self.straight];
        models.map(|model| answers(model).len())
    }

    /// The gateway's metric of this name and provider.
    pub(super) async fn breaker(&self, provider: &str) -> u8 {
        let metrics = Came::of(self.gateway.request(Method::GET, "/metrics")).await;
        let name = format!("ccpool_provider_breaker{{provider=\"{provider}\"}} ");
        let mut lines = metrics.text.lines();
        let level = lines.find_map(|line| line.strip_prefix(&name));
        let level = level.unwrap_or_else(|| panic!("{name}is missing: {}", metrics.text));
        level.parse().expect("a level")
    }

    /// Waits until the pool's model is asked for an answer to a prompt with these words in it.
    pub(super) async fn wait_for_inside(&self, words: &str) -> Arc<RecordedRequest> {
        let asked = |request: &RecordedRequest| {
            is_for_an_answer(request) && request.last_user_text.contains(words)
        };
        let found = self.gateway.model.wait_for_request(asked, PATIENCE).await;
        found.expect("the model is asked")
    }

    /// Nobody listens any more where the models of the CLI of this host and of the Messages API were.
    pub(super) async fn silence_the_others(&mut self) {
        for model in [&mut self.cli, &mut self.straight] {
            let address = ["127.0.0.1:0".parse().expect("an address")];
            let other = ScriptedModel::start_with(&address, ScriptFile::builtin()).await;
            let gone = std::mem::replace(model, other.expect("the model starts"));
            gone.shutdown().await;
        }
    }

    /// Ends everything in order.
    pub(super) async fn stop(self) {
        self.gateway.stop().await;
        self.cli.shutdown().await;
        self.straight.shutdown().await;
    }
}

/// The requests for an answer that this model has got.
pub(super) fn answers(model: &ScriptedModel) -> Vec<Arc<RecordedRequest>> {
    let requests = model.requests().into_iter();
    requests
        .filter(|request| is_for_an_answer(request))
        .collect()
}

/// The CLI also tries which models there are.
fn is_for_an_answer(request: &RecordedRequest) -> bool {
    request.max_tokens != Some(1)
}

/// Whom an answer names as passed over, in that order, each with the kind of its failure.
pub(super) fn passed(came: &Came) -> Vec<(String, String)> {
    let Some(header) = came.headers.get("x-ccpool-passed") else {
        return Vec::new();
    };
    let header = header.to_str().expect("ASCII");
    // What a person is told stands in parentheses, and may have semicolons of its own.
    let named = MODELS.into_iter().filter_map(|model| {
        let name = format!("{model}: ");
        let at = header.find(&name)?;
        assert_eq!(header.matches(&name).count(), 1, "{header}");
        let kind = header[at + model.len() + 2..].split(' ').next()?;
        Some((at, model.to_owned(), kind.to_owned()))
    });
    let mut named: Vec<(usize, String, String)> = named.collect();
    named.sort();
    let named = named.into_iter();
    named.map(|(_, model, kind)| (model, kind)).collect()
}

/// It is an answer of this provider, after these did not answer.
pub(super) fn assert_answered(came: &Came, provider: usize, others: &[(&str, &str)]) {
    assert_eq!(came.status, 200, "{came:?}");
    let answer = came.json();
    assert_eq!(
        came.header("x-ccpool-provider"),
        PROVIDERS[provider],
        "{came:?}"
    );
    let model = answer["model"].as_str().expect("a model");
    assert!(model.starts_with(PROVIDERS[provider]), "{answer}");
    let choice = &answer["choices"][0];
    assert_eq!(
        choice["message"]["content"],
        says(PROVIDERS[provider]),
        "{answer}"
    );
    assert_eq!(choice["finish_reason"], "stop", "{answer}");
    let others = others
        .iter()
        .map(|(model, kind)| ((*model).to_owned(), (*kind).to_owned()));
    assert_eq!(passed(came), others.collect::<Vec<_>>(), "{came:?}");
}
