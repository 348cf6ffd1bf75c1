//! Chooses the answer to a request: queued script, marker in the prompt, or default scene.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};

use crate::{
    api_error::ApiError,
    conversation::{ApiRequest, Conversation},
    marker::{Marker, last_marker},
    memory,
    scene::{Answer, Block, Message, Pace, Reply, Scene, StopReason},
    script_file::ScriptFile,
};

/// How many (turn, reply) pairs keep their attempt count. Old ones start over, which only a client
/// that retries thousands of turns late would notice.
const ATTEMPTS_KEPT: usize = 10_000;

/// A request whose model name holds this gets a 404, as a model that does not exist.
const NO_SUCH_MODEL: &str = "no-such-model";

/// Who asks: the parts of a request outside of its messages that tell conversations apart.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The session id header, or else `metadata.user_id`; may be empty.
    pub session: &'a str,
    /// The CLI's agent id header, set for subagents.
    pub agent: Option<&'a str>,
}

/// The state behind the choice: known scenes, queued answers, attempts seen.
#[derive(Debug)]
pub struct Director {
    script: ScriptFile,
    queue: VecDeque<Answer>,
    attempts: HashMap<[u8; 32], usize>,
    attempts_order: VecDeque<[u8; 32]>,
}

impl Director {
    /// A director with these named scenes and an empty queue.
    #[must_use]
    pub fn new(script: ScriptFile) -> Self {
        Self {
            script,
            queue: VecDeque::new(),
            attempts: HashMap::new(),
            attempts_order: VecDeque::new(),
        }
    }

    /// Queues every answer of a scene (attempts included, in order); each answers one request of
    /// any conversation. Returns how many answers are now queued.
    pub fn push(&mut self, scene: Scene) -> usize {
        self.queue
            .extend(scene.replies.into_iter().flat_map(|reply| reply.attempts));
        self.queue.len()
    }

    /// How many queued answers are left.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Forgets queued answers and attempt counts.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.attempts.clear();
        self.attempts_order.clear();
    }

    /// The answer to one request. Counts it as an attempt, or takes it from the queue.
    pub fn choose(&mut self, request: &ApiRequest, asker: Asker<'_>) -> Answer {
        if request.model.contains(NO_SUCH_MODEL) {
            let message = format!("model: {}", request.model);
            return Answer::error(ApiError::new(404).with_message(message));
        }
        if request.max_tokens == Some(1) {
            // The CLI probes a model by such a request on set_model.
            let ok = Block::Text {
                text: "ok".to_owned(),
                pace: Pace::default(),
            };
            let stop_reason = StopReason::MaxTokens;
            return Message {
                stop_reason,
                ..Message::of(vec![ok])
            }
            .into();
        }
        let conversation = Conversation::of(&request.messages);
        let answer = match self.queue.pop_front() {
            Some(answer) => answer,
            None => self.played(&conversation, asker),
        };
        filled_in(answer, &conversation)
    }

    fn played(&mut self, conversation: &Conversation, asker: Asker<'_>) -> Answer {
        let turn = conversation
            .prompts
            .get(conversation.turn..)
            .unwrap_or_default();
        let marked = turn
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, prompt)| Some((at, prompt, last_marker(&prompt.text)?)));
        let Some((at, prompt, marker)) = marked else {
            let Some(scene) = self.script.default_scene().cloned() else {
                let prompts: Vec<_> = conversation
                    .prompts
                    .iter()
                    .map(|prompt| prompt.text.as_str())
                    .collect();
                return Answer::text(memory::answer(&prompts));
            };
            return self.attempt(&scene, conversation, 0, conversation.rounds, asker);
        };
        let scene = match marker {
            Marker::Named(name) => match self.script.scene(&name) {
                Some(scene) => scene.clone(),
                None => return refused(&format!("there is no scene `{name}`")),
            },
            Marker::Inline(value) => match Scene::from_value(&value) {
                Ok(scene) => scene,
                Err(error) => return refused(&error.to_string()),
            },
            Marker::Broken(why) => return refused(&why),
        };
        let index = conversation.rounds - prompt.rounds_before;
        self.attempt(&scene, conversation, at, index, asker)
    }

    /// The answer of a scene's reply `index`, by how often it was asked for already.
    fn attempt(
        &mut self,
        scene: &Scene,
        conversation: &Conversation,
        anchor: usize,
        index: usize,
        asker: Asker<'_>,
    ) -> Answer {
        let Some(Reply { attempts }) = scene.replies.get(index) else {
            return Answer::text(format!("The scene has no reply {index}."));
        };
        let seen = match attempts.len() {
            0 | 1 => 0,
            _ => self.count(turn_key(conversation, anchor, index, asker)),
        };
        match attempts.get(seen).or(attempts.last()) {
            Some(answer) => answer.clone(),
            None => Answer::text(format!("The scene's reply {index} has no attempt.")),
        }
    }

    fn count(&mut self, key: [u8; 32]) -> usize {
        if let Some(seen) = self.attempts.get_mut(&key) {
            *seen += 1;
            return *seen;
        }
        if self.attempts.len() == ATTEMPTS_KEPT
            && let Some(oldest) = self.attempts_order.pop_front()
        {
            self.attempts.remove(&oldest);
        }
        self.attempts.insert(key, 0);
        self.attempts_order.push_back(key);
        0
    }
}

/// Tells apart: sessions, agents, the same prompt given twice, and the requests of a turn.
fn turn_key(
    conversation: &Conversation,
    anchor: usize,
    index: usize,
    asker: Asker<'_>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(asker.session.as_bytes());
    add(asker.agent.unwrap_or_default().as_bytes());
    for prompt in &conversation.prompts[..=conversation.turn + anchor] {
        add(prompt.text.as_bytes());
    }
    hash.update((index as u64).to_le_bytes());
    hash.finalize().into()
}

fn refused(why: &str) -> Answer {
    Answer::error(ApiError::new(400).with_message(format!("scripted model: {why}")))
}

/// Puts the conversation's texts in place of `{{toolResult}}` and `{{userText}}`.
fn filled_in(mut answer: Answer, conversation: &Conversation) -> Answer {
    if let Answer::Message(message) = &mut answer {
        for block in &mut message.blocks {
            if let Block::Text { text, .. } = block
                && text.contains("{{")
            {
                let result = conversation.tool_result.as_deref().unwrap_or_default();
                *text = text
                    .replace("{{userText}}", conversation.newest_prompt())
                    .replace("{{toolResult}}", result);
            }
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    const NOBODY: Asker<'_> = Asker {
        session: "s",
        agent: None,
    };

    fn request(messages: &Value) -> ApiRequest {
        ApiRequest::deserialize(json!({"model": "m", "messages": messages})).unwrap()
    }

    fn prompt(text: &str) -> ApiRequest {
        request(&json!([{"role": "user", "content": text}]))
    }

    fn director() -> Director {
        Director::new(ScriptFile::builtin())
    }

    fn status(answer: &Answer) -> u16 {
        match answer {
            Answer::Error { error, .. } => error.status,
            other => panic!("no error: {other:?}"),
        }
    }

    #[test]
    fn the_queue_comes_first_then_the_marker_then_the_default() {
        let mut director = director();
        let queued = r#"[{"attempts":[{"error":500},{"text":"one"}]},{"text":"two"}]"#;
        assert_eq!(director.push(Scene::parse(queued).unwrap()), 3);
        let hello = prompt("[[script:hello]]");
        assert_eq!(status(&director.choose(&hello, NOBODY)), 500);
        assert_eq!(director.choose(&hello, NOBODY), Answer::text("one"));
        assert_eq!(director.choose(&hello, NOBODY), Answer::text("two"));
        let hello = director.choose(&hello, NOBODY);
        assert_eq!(hello, Answer::text("Hello from the scripted model."));
        assert_eq!(
            director.choose(&prompt("Hi"), NOBODY),
            Answer::text("You said: Hi")
        );
    }

    #[test]
    fn the_reply_follows_the_rounds_of_the_turn() {
        let mut director = director();
        let go = json!({"role": "user", "content": "[[script:tool]]"});
        let call = json!({"role": "assistant", "content": [{"type": "tool_use"}]});
        let result =
            json!({"role": "user", "content": [{"type": "tool_result", "content": "heron"}]});
        let second = request(&json!([go, call, result]));
        assert_eq!(
            director.choose(&second, NOBODY),
            Answer::text("The tool said: heron")
        );
        let third = request(&json!([go, call, result, call, result]));
        assert_eq!(
            director.choose(&third, NOBODY),
            Answer::text("The scene has no reply 2.")
        );
        let next = request(&json!([
            go, call, result,
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "Bye"}]));
        assert_eq!(
            director.choose(&next, NOBODY),
            Answer::text("You said: Bye")
        );
    }

    #[test]
    fn attempts_are_counted_per_session_agent_and_turn() {
        let mut director = director();
        let flaky = r#"[[do: {"attempts":[{"error":529},{"text":"ok"}]}]]"#;
        let other = Asker {
            session: "other",
            agent: None,
        };
        let agent = Asker {
            session: "s",
            agent: Some("a"),
        };
        for asker in [NOBODY, other, agent] {
            assert_eq!(status(&director.choose(&prompt(flaky), asker)), 529);
        }
        for asker in [NOBODY, other, agent, NOBODY] {
            assert_eq!(director.choose(&prompt(flaky), asker), Answer::text("ok"));
        }
        let again = request(&json!([
            {"role": "user", "content": flaky},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": flaky}]));
        assert_eq!(status(&director.choose(&again, NOBODY)), 529);
    }

    #[test]
    fn a_steered_prompt_leaves_the_scene_running_unless_it_has_a_marker() {
        let mut director = director();
        let steered = |text: &str| {
            request(&json!([
                {"role": "user", "content": r#"[[do: [{"text":"a"},{"text":"b"}]]]"#},
                {"role": "assistant", "content": [{"type": "tool_use"}]},
                {"role": "user", "content": [{"type": "tool_result"}]},
                {"role": "system", "content":
                    format!("The user sent a new message while you were working:\n{text}")}]))
        };
        assert_eq!(
            director.choose(&steered("faster"), NOBODY),
            Answer::text("b")
        );
        let hello = director.choose(&steered("[[script:hello]]"), NOBODY);
        assert_eq!(hello, Answer::text("Hello from the scripted model."));
    }

    #[test]
    fn probes_take_nothing_from_the_queue() {
        let mut director = director();
        director.push(Scene::text("queued"));
        let probe = ApiRequest {
            max_tokens: Some(1),
            ..prompt("x")
        };
        let Answer::Message(message) = director.choose(&probe, NOBODY) else {
            panic!()
        };
        assert_eq!(message.stop_reason, StopReason::MaxTokens);
        assert_eq!(director.queued(), 1);
        let unknown = ApiRequest {
            model: "no-such-model-9".into(),
            ..prompt("x")
        };
        assert_eq!(status(&director.choose(&unknown, NOBODY)), 404);
    }

    #[test]
    fn mistakes_in_a_marker_are_refused_loudly() {
        let mut director = director();
        for text in ["[[script:nobody]]", "[[do: {\"txt\":1}]]", "[[do: {"] {
            assert_eq!(
                status(&director.choose(&prompt(text), NOBODY)),
                400,
                "{text}"
            );
        }
    }

    #[test]
    fn old_attempt_counts_make_room() {
        let mut director = director();
        let flaky = prompt(r#"[[do: {"attempts":[{"error":529},{"text":"ok"}]}]]"#);
        for session in 0..=ATTEMPTS_KEPT {
            let session = session.to_string();
            director.choose(
                &flaky,
                Asker {
                    session: &session,
                    agent: None,
                },
            );
        }
        assert_eq!(director.attempts.len(), ATTEMPTS_KEPT);
        let first = Asker {
            session: "0",
            agent: None,
        };
        assert_eq!(status(&director.choose(&flaky, first)), 529);
    }
}
