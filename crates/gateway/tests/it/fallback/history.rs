//! A conversation that is answered here and there: whoever is asked is told all of it, once.

use ccpool_scripted_model::ScriptedModel;
use serde_json::{Value, json};

use super::trio::{PROVIDERS, Trio, answers, error, passed, play, says};
use crate::openai::chat::{Came, post};

/// The turns of a conversation, each with its scene and who answers it.
const TURNS: [(&str, usize); 6] = [
    ("itself", 0),
    ("inside", 1),
    // The CLI goes on in its process, which knows what came before.
    ("inside", 1),
    ("itself", 0),
    ("both", 2),
    ("inside", 1),
];

#[tokio::test]
async fn each_turn_is_told_once_to_everybody_who_is_asked() {
    let trio = Trio::start(&[
        ("inside", [error(529), Value::Null, Value::Null]),
        ("both", [error(529), error(529), Value::Null]),
    ])
    .await;
    for name in [None, Some("room-1")] {
        let mut told = Told::default();
        for (scene, provider) in TURNS {
            told.turn(&trio, name, scene, provider).await;
        }
    }
    trio.stop().await;
}

/// A conversation, as its client keeps it.
#[derive(Default)]
struct Told {
    messages: Vec<Value>,
    prompts: Vec<String>,
    /// Who has answered so far.
    answered: Vec<usize>,
}

impl Told {
    async fn turn(&mut self, trio: &Trio, name: Option<&str>, scene: &str, provider: usize) {
        let prompt = format!(
            "Turn {} of {}.",
            self.prompts.len(),
            name.unwrap_or("no room")
        );
        let text = format!("{prompt} {}", play(scene));
        self.prompts.push(prompt);
        self.messages.push(json!({"role": "user", "content": text}));
        let mut request = post(&trio.gateway, &json!({"messages": self.messages}));
        if let Some(name) = name {
            request = request.header("x-session-id", name);
        }
        let came = Came::of(request).await;
        assert_eq!(came.status, 200, "{came:?}");
        let by = came.header("x-ccpool-provider");
        assert_eq!(by, PROVIDERS[provider], "{came:?}");
        assert_eq!(passed(&came).len(), provider, "{came:?}");
        let models = [&*trio.gateway.model, &trio.cli, &trio.straight];
        for asked in &models[..=provider] {
            self.assert_told_to(asked);
        }
        let answer = came.json()["choices"][0]["message"].take();
        self.answered.push(provider);
        self.messages.push(answer);
    }

    /// The newest request of this model holds each prompt and each answer once.
    fn assert_told_to(&self, model: &ScriptedModel) {
        let requests = answers(model);
        let newest = requests.last().expect("it was asked");
        let body = newest.body().expect("the body is kept");
        let told = body["messages"].to_string();
        for prompt in &self.prompts {
            assert_eq!(told.matches(prompt.as_str()).count(), 1, "{prompt} {told}");
        }
        for (number, provider) in PROVIDERS.into_iter().enumerate() {
            let words = says(provider);
            let by = self.answered.iter().filter(|by| **by == number);
            let times = by.count();
            assert_eq!(told.matches(&words).count(), times, "{words} {told}");
        }
    }
}
