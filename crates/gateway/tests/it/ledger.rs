//! What Redis holds of a session, and what it shows of a turn.

use std::time::Duration;

use ccpool_protocol::SessionId;
use ccpool_protocol::keys::{Keys, SessionKeys};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::Value;

use crate::gateway::Gateway;
use crate::parts::eventually;
use crate::sse::Message;

/// Reads the keys of one session.
pub(crate) struct Ledger {
    redis: MultiplexedConnection,
    pub(crate) keys: SessionKeys,
}

/// The lists, as they were at one moment.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Prompts that were not taken yet.
    pub(crate) input: Vec<String>,
    /// Prompts that were taken and are not answered.
    pub(crate) inflight: Vec<String>,
    /// The envelopes.
    pub(crate) buffer: Vec<Value>,
}

/// What the envelopes show of a turn.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    /// Text that a reader has seen.
    pub(crate) visible_output: bool,
    /// A tool was called, so it may have acted.
    pub(crate) tool_effects: bool,
    /// Its terminal events.
    pub(crate) terminals: Vec<Value>,
}

impl Ledger {
    pub(crate) async fn of(gateway: &Gateway, session: &str) -> Self {
        let session = SessionId::new(session).expect("a session id");
        Self {
            redis: gateway.redis().await,
            keys: Keys::new("clawdbot:cc:".to_owned()).session(&session),
        }
    }

    pub(crate) async fn lists(&mut self) -> Lists {
        let (input, inflight, buffer): (Vec<String>, Vec<String>, Vec<String>) = redis::pipe()
            .atomic()
            .lrange(&self.keys.input, 0, -1)
            .lrange(&self.keys.inflight, 0, -1)
            .lrange(&self.keys.output_buffer, 0, -1)
            .query_async(&mut self.redis)
            .await
            .expect("Redis answers");
        let envelope = |text: &String| serde_json::from_str(text).expect("an envelope is JSON");
        Lists {
            input,
            inflight,
            buffer: buffer.iter().map(envelope).collect(),
        }
    }

    /// Waits until a field of the session's state is this.
    pub(crate) async fn wait_for_state(&self, field: &str, wanted: &str) {
        let what = format!("{field} is {wanted}");
        eventually(&what, async || {
            let read = self.redis.clone().hget(&self.keys.state, field).await;
            let value: Option<String> = read.expect("Redis answers");
            value.filter(|value| value == wanted)
        })
        .await;
    }

    /// Looks again and again: the prompt of a turn waits or is being worked on, or the turn has
    /// ended. Never returns.
    pub(crate) async fn guard(&mut self, turn: &str) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        loop {
            look.tick().await;
            let lists = self.lists().await;
            assert!(
                lists.holds(turn) || !lists.shown(turn).terminals.is_empty(),
                "the prompt of {turn} is lost: {lists:#?}"
            );
        }
    }
}

impl Lists {
    /// Whether the prompt of a turn is unanswered.
    pub(crate) fn holds(&self, turn: &str) -> bool {
        let name = format!("\"turn\":\"{turn}\"");
        let mut items = self.input.iter().chain(&self.inflight);
        items.any(|item| item.contains(&name))
    }

    /// What the envelopes of a turn show, up to its first terminal event.
    pub(crate) fn shown(&self, turn: &str) -> Shown {
        let mut shown = Shown {
            visible_output: false,
            tool_effects: false,
            terminals: Vec::new(),
        };
        let of_turn = self.buffer.iter().filter(|e| e["turn"] == turn);
        for line in of_turn.map(|envelope| &envelope["line"]) {
            if line["subtype"] == "terminal" && line["type"] == "ccpool" {
                shown.terminals.push(line["event"].clone());
            }
            let delta = &line["event"]["delta"]["text"];
            shown.visible_output |= delta.as_str().is_some_and(|text| !text.is_empty());
            let blocks = line["message"]["content"].as_array().into_iter().flatten();
            for block in blocks.filter(|_| line["type"] == "assistant") {
                shown.visible_output |= block["type"] == "text";
                shown.tool_effects |= block["type"] == "tool_use";
            }
        }
        shown
    }

    /// The numbers rise by one.
    pub(crate) fn assert_gapless(&self) {
        let numbers = self.buffer.iter().map(|envelope| &envelope["seq"]);
        let numbers: Vec<u64> = numbers.filter_map(Value::as_u64).collect();
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
    }
}

/// The one terminal event among these, which is the last; both readers and the buffer have it.
pub(crate) fn only_ending<'a>(messages: &'a [Message], shown: &Shown) -> &'a Value {
    let is_ending = |message: &&Message| matches!(&*message.event, "completed" | "failed");
    let endings: Vec<&Message> = messages.iter().filter(is_ending).collect();
    assert_eq!(endings.len(), 1, "{messages:#?}");
    assert_eq!(messages.last(), Some(endings[0]));
    assert_eq!(shown.terminals.len(), 1, "{shown:#?}");
    let ending = &endings[0].data;
    let fields = shown.terminals[0].as_object().expect("an event");
    for (name, value) in fields {
        assert_eq!(&ending[name], value, "{name}: {ending}");
    }
    if ending["type"] == "failed" {
        assert_eq!(
            (&ending["visibleOutput"], &ending["toolEffects"]),
            (&shown.visible_output.into(), &shown.tool_effects.into()),
            "{ending}"
        );
    }
    ending
}
