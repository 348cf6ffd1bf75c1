//! One scenario: the real `claude` behind the real wrapper, and what came of it.

use std::sync::Arc;

use ccpool_protocol::boot::Boot;
use ccpool_protocol::event::ReplyEvent;
use ccpool_protocol::state::field;
use ccpool_scripted_model::RecordedRequest;
use redis::AsyncCommands;
use serde_json::{Value, json};

use super::short;
use super::transcript::{Transcript, is_inside};
use crate::support::{Rig, eventually};

const LAST: &str = "afterwards";

/// What the session must still be good for when the scenario is over.
pub(crate) enum Afterwards {
    /// It answers the next prompt.
    Answers,
    /// The next prompt is answered somehow.
    Completes,
    /// The next prompt fails with this kind.
    Fails(&'static str),
    /// Nothing; the scenario has ended it.
    Ended,
}

/// A session under test.
pub(crate) struct Play {
    pub(crate) rig: Rig,
    pushed: Vec<String>,
}

impl Play {
    pub(crate) async fn begin() -> Self {
        Self::with(|_| {}).await
    }

    /// With other boot parameters.
    pub(crate) async fn with(change: impl FnOnce(&mut Boot)) -> Self {
        Self::assigned(json!({}), change).await
    }

    /// With more in its assignment.
    pub(crate) async fn assigned(more: Value, change: impl FnOnce(&mut Boot)) -> Self {
        let mut rig = Rig::prepare().await;
        change(&mut rig.boot);
        rig.launch();
        rig.ready().await;
        rig.assign_with(more).await;
        Self {
            rig,
            pushed: Vec::new(),
        }
    }

    /// Pushes an item; it names its turn.
    pub(crate) async fn push(&mut self, item: Value) {
        self.pushed
            .push(item["turn"].as_str().expect("a named turn").to_owned());
        self.rig.push(item).await;
    }

    /// Pushes a text.
    pub(crate) async fn say(&mut self, turn: &str, text: &str) {
        self.push(json!({"turn": turn, "text": text})).await;
    }

    /// Pushes a prompt to which the model plays this scene.
    pub(crate) async fn act(&mut self, turn: &str, scene: Value) {
        self.say(turn, &format!("[[do: {scene}]]")).await;
    }

    /// Pushes a command of the CLI.
    pub(crate) async fn command(&mut self, turn: &str, text: &str) {
        self.push(json!({"turn": turn, "text": text, "command": true}))
            .await;
    }

    /// A scene, and how its turn ended.
    pub(crate) async fn acted(&mut self, turn: &str, scene: Value) -> Value {
        self.act(turn, scene).await;
        self.rig.ending(turn).await
    }

    /// A text, and how its turn ended.
    pub(crate) async fn said(&mut self, turn: &str, text: &str) -> Value {
        self.say(turn, text).await;
        self.rig.ending(turn).await
    }

    /// The `number`th permission request of the session, once it has come.
    pub(crate) async fn asked(&self, number: usize) -> Value {
        eventually(&format!("permission request {number}"), || async {
            let buffer = self.rig.buffer().await.into_iter();
            let mut asked = buffer.filter_map(|envelope| {
                let line: Value = serde_json::from_str(envelope.line.get()).unwrap();
                (line["request"]["subtype"] == "can_use_tool").then_some(line)
            });
            asked.nth(number - 1)
        })
        .await
    }

    /// Answers a permission request.
    pub(crate) async fn permit(&self, request: &Value, response: Value) {
        let answer = json!({
            "type": "permission",
            "requestId": request["request_id"],
            "response": response,
        });
        self.rig.control(&answer.to_string()).await;
    }

    /// The name of the `number`th turn that nobody asked for, once it has ended.
    pub(crate) async fn unasked(&self, number: usize) -> String {
        eventually(&format!("unasked turn {number}"), || async {
            let transcript = Transcript::read(self.rig.buffer().await);
            transcript.unasked().into_iter().nth(number - 1)
        })
        .await
    }

    /// Waits until the CLI has queued so many of the session's prompts.
    pub(crate) async fn queued(&self, number: usize) {
        eventually(&format!("{number} prompts were queued"), || async {
            let buffer = self.rig.buffer().await.into_iter();
            let queued = buffer.filter(|envelope| {
                let line: Value = serde_json::from_str(envelope.line.get()).unwrap();
                line["type"] == "command_lifecycle" && line["state"] == "queued"
            });
            (queued.count() >= number).then_some(())
        })
        .await;
    }

    /// The newest request for an answer that the model has got.
    pub(crate) fn asked_model(&self) -> Arc<RecordedRequest> {
        let requests = self.rig.model.requests().into_iter();
        let mut answered = requests.filter(|request| request.stream);
        answered.next_back().expect("the model was asked")
    }

    /// What a reader has by now.
    pub(crate) async fn transcript(&self) -> Transcript {
        Transcript::read(self.rig.buffer().await)
    }

    /// The events in short, after everything has ended and a further prompt was answered.
    pub(crate) async fn finish(self) -> String {
        self.finish_as(Afterwards::Answers).await
    }

    /// The same without what comes whenever it likes: what goes on in the background.
    pub(crate) async fn finish_in_front(mut self) -> String {
        self.close(Afterwards::Answers).await;
        let of_tasks = |event: &ReplyEvent| short::word(event) == "status(task)";
        let transcript = self.transcript().await;
        transcript
            .in_short(|event| event.turn.as_str() != LAST && !is_inside(event) && !of_tasks(event))
    }

    /// As [`Self::finish`], of a session that is not as good as new.
    pub(crate) async fn finish_as(mut self, afterwards: Afterwards) -> String {
        self.close(afterwards).await;
        let transcript = self.transcript().await;
        transcript.in_short(|event| event.turn.as_str() != LAST)
    }

    async fn close(&mut self, afterwards: Afterwards) {
        self.check().await;
        match afterwards {
            Afterwards::Answers => {
                let ending = self.said(LAST, "Are you there?").await;
                assert_eq!(ending["text"], "You said: Are you there?", "{ending}");
                self.check().await;
            }
            Afterwards::Completes => {
                let ending = self.said(LAST, "Are you there?").await;
                assert_eq!(ending["type"], "completed", "{ending}");
                self.check().await;
            }
            Afterwards::Fails(kind) => {
                let ending = self.said(LAST, "Are you there?").await;
                assert_eq!(ending["kind"], kind, "{ending}");
                self.check().await;
            }
            Afterwards::Ended => {}
        }
    }

    /// Everything that holds for every session in which nothing is left to do.
    async fn check(&self) {
        let rig = &self.rig;
        eventually("every prompt is answered", || async {
            let open = rig.list(&rig.session.input).await.len()
                + rig.list(&rig.session.inflight).await.len();
            let turn = rig.state(field::TURN).await;
            (open == 0 && turn.is_none_or(|turn| turn.is_empty())).then_some(())
        })
        .await;
        let transcript = self.transcript().await;
        transcript.check(&self.pushed);
        let result: String = {
            let mut connection = rig.redis.connect().await;
            connection.get(&rig.session.result).await.unwrap()
        };
        let newest = transcript.newest_ending().expect("a turn has ended");
        assert_eq!(
            serde_json::from_str::<Value>(&result).unwrap(),
            serde_json::to_value(newest).unwrap(),
            "the result is that of the newest turn"
        );
        let turns = transcript.turns().to_string();
        assert_eq!(rig.state(field::TURNS).await, Some(turns));
    }
}
