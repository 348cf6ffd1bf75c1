//! A conversation, looked at before a session is looked for.

use ccpool_protocol::FailureKind;
use ccpool_protocol::function::{self, FunctionResult, FunctionTool};
use serde_json::{Value, json};

use super::call_id::plain_call_id;
use super::conversation::{Content, Conversation, ImageSource, Message, ToolChoice};
use super::error::Refused;
use super::fingerprint::{self, Fingerprint, Terms};
use super::resting::Resting;
use super::{handover, model_name};
use crate::config::Config;
use crate::launch::boot_model;
use crate::store::Whereabouts;

/// What a call is told whose result the caller leaves out.
const NO_RESULT: &str = "the caller gave no result";

/// A conversation that can be answered.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) conversation: Conversation,
    /// The model's own name.
    pub(super) model: String,
    pub(super) system: Fingerprint,
    /// The form of its answers; none where they are words.
    pub(super) output: Option<Fingerprint>,
    /// The functions that the model may call; empty when it must not.
    pub(super) offered: Vec<FunctionTool>,
    /// How many messages a session knows in which it goes on.
    known: usize,
    /// Of those messages.
    before: Fingerprint,
    /// Of all messages.
    whole: Fingerprint,
}

impl Asked {
    /// # Errors
    /// `InvalidRequest` for what nobody could answer.
    pub(super) fn of(conversation: Conversation, config: &Config) -> Result<Self, Refused> {
        let own = config.agents.get(conversation.agent.as_str());
        let own = own.and_then(|own| own.model.as_ref());
        let model = match &conversation.model {
            Some(name) => model_name::own(name)?.to_owned(),
            None => own.map_or_else(|| boot_model(config), |model| model.model().to_owned()),
        };
        let known = conversation.known();
        let (old, new) = conversation.messages.split_at(known);
        if !new.iter().any(awaits_an_answer) {
            let message = "there is nothing to answer: the last message must be the user's, with \
                           something in it, or the result of a call";
            return Err(Refused::new(FailureKind::InvalidRequest, message));
        }
        function::check(&conversation.tools)
            .map_err(|error| Refused::new(FailureKind::InvalidRequest, error.to_string()))?;
        let before = Fingerprint::of(old);
        let whole = before.then(new);
        let system = conversation.system.as_deref();
        let system = fingerprint::system(system, conversation.system_mode);
        let output = conversation.output_schema.as_ref().map(fingerprint::json);
        let offered = match conversation.tool_choice {
            ToolChoice::None => Vec::new(),
            ToolChoice::Auto | ToolChoice::Required | ToolChoice::Function(_) => {
                conversation.tools.clone()
            }
        };
        Ok(Self {
            conversation,
            model,
            system,
            output,
            offered,
            known,
            before,
            whole,
        })
    }

    /// Whether something was said before.
    pub(super) fn has_history(&self) -> bool {
        self.known > 0
    }

    /// Under what it was written down when it rested last. None: it has not yet.
    pub(super) fn rested(&self) -> Option<Whereabouts> {
        // Who names it may begin it anew, and then the old session is not needed any more.
        let rests = self.conversation.name.is_some() || self.has_history();
        rests.then(|| self.whereabouts(&self.before))
    }

    /// What is known of it, and under what it rests, once the model has said this.
    pub(super) fn rests(&self, said: Message) -> (Fingerprint, Whereabouts) {
        let history = self.whole.then(&[said]);
        let at = self.whereabouts(&history);
        (history, at)
    }

    /// A named conversation's, whatever was said. None: it has no name.
    pub(super) fn by_name(&self) -> Option<Whereabouts> {
        let Conversation {
            caller,
            agent,
            name,
            ..
        } = &self.conversation;
        let name = fingerprint::name(caller, agent.as_str(), name.as_deref()?);
        Some(Whereabouts::Named(name.to_string()))
    }

    /// The same of a conversation whose name is its own: whatever comes under that is this one.
    pub(super) fn own_name(&self) -> Option<Whereabouts> {
        let is_own = !self.conversation.shares_name;
        is_own.then(|| self.by_name()).flatten()
    }

    fn whereabouts(&self, history: &Fingerprint) -> Whereabouts {
        let conversation = &self.conversation;
        self.by_name().unwrap_or_else(|| {
            let terms = Terms {
                caller: &conversation.caller,
                agent: conversation.agent.as_str(),
                model: &self.model,
                system: conversation.system.as_deref(),
                system_mode: conversation.system_mode,
                output: self.output.as_ref(),
            };
            Whereabouts::Said(history.under(terms).to_string())
        })
    }

    /// Whether the session knows what comes before what is new, and nothing else, and answers in this
    /// form: the CLI takes one before the first prompt, and no other.
    pub(super) fn is_known_to(&self, resting: &Resting) -> bool {
        self.has_history()
            && resting.history.as_ref() == Some(&self.before)
            && resting.output == self.output
    }

    /// What is new.
    pub(super) fn new_messages(&self) -> &[Message] {
        &self.conversation.messages[self.known..]
    }

    /// The prompt for a session that knows the rest of it.
    pub(super) fn prompt(&self, resting: &Resting) -> Vec<Value> {
        let mut blocks = Vec::new();
        if resting.system != self.system {
            blocks.push(json!({"type": "text", "text": self.changed_system()}));
        }
        let choice = &self.conversation.tool_choice;
        blocks.extend(handover::prompt(self.new_messages(), choice));
        blocks
    }

    /// The CLI takes a system prompt once, before the first prompt.
    fn changed_system(&self) -> String {
        let text = self.conversation.system.as_deref().map(str::trim);
        match text.filter(|text| !text.is_empty()) {
            Some(text) => format!(
                "<system-prompt>\nThis replaces the system prompt that the client gave \
                 before.\n\n{text}\n</system-prompt>"
            ),
            None => "<system-prompt>\nThe system prompt that the client gave before holds no \
                     longer.\n</system-prompt>"
                .to_owned(),
        }
    }

    /// The fingerprint of the functions that are to be sent with a prompt. None: the session has
    /// these already.
    pub(super) fn functions_for(&self, resting: &Resting) -> Option<Fingerprint> {
        let offered = fingerprint::json(&self.offered);
        let has = match &resting.functions {
            Some(has) => *has == offered,
            None => self.offered.is_empty(),
        };
        (!has).then_some(offered)
    }

    /// Whether it brings the result of one of these calls.
    pub(super) fn brings_any(&self, calls: &[String]) -> bool {
        !self.brought(calls).results.is_empty()
    }

    /// What it brings for a turn that waits for these calls.
    pub(super) fn brought(&self, calls: &[String]) -> Brought {
        let mut results: Vec<FunctionResult> = Vec::new();
        let mut said = Vec::new();
        for message in self.new_messages() {
            match message {
                Message::Tool { call, content } => {
                    let plain = plain_call_id(call);
                    let is_it = |id: &&String| plain_call_id(id) == plain;
                    let is_new = |id: &&String| results.iter().all(|result| result.id != **id);
                    if let Some(id) = calls.iter().filter(is_it).find(is_new) {
                        results.push(FunctionResult {
                            id: id.clone(),
                            content: content.iter().map(mcp).collect(),
                            is_error: false,
                        });
                    }
                }
                // Clients cannot put an image into a result, so they send it after the results.
                Message::User(content) if content.iter().any(is_image) => {
                    match results.last_mut() {
                        Some(last) => last.content.extend(content.iter().map(mcp)),
                        None => said.push(message.clone()),
                    }
                }
                Message::User(_) => said.push(message.clone()),
                // An aside goes with a prompt, and comes again with each round.
                Message::Aside(_) | Message::Assistant { .. } => {}
            }
        }
        let beside = handover::prompt(&said, &ToolChoice::Auto);
        Brought { results, beside }
    }
}

/// What a caller brings for a turn that waits.
pub(super) struct Brought {
    /// Of the calls that it has results for, under their own ids.
    results: Vec<FunctionResult>,
    /// What the user says beside them, as a prompt.
    pub(super) beside: Vec<Value>,
}

impl Brought {
    /// A result for each of these calls; an error for each that the caller leaves out.
    pub(super) fn results(&self, calls: &[String]) -> Vec<FunctionResult> {
        let results = calls.iter().map(|id| {
            let brought = self.results.iter().find(|result| result.id == *id);
            brought.cloned().unwrap_or_else(|| FunctionResult {
                is_error: true,
                ..FunctionResult::text(id, NO_RESULT)
            })
        });
        results.collect()
    }
}

fn is_image(content: &Content) -> bool {
    matches!(content, Content::Image(_))
}

/// Whether it asks something, or is the result of a call.
fn awaits_an_answer(message: &Message) -> bool {
    match message {
        Message::User(_) => {
            let alone = std::slice::from_ref(message);
            !handover::prompt(alone, &ToolChoice::Auto).is_empty()
        }
        Message::Tool { .. } => true,
        Message::Aside(_) | Message::Assistant { .. } => false,
    }
}

/// A content block of MCP.
fn mcp(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!({"type": "text", "text": text}),
        Content::Image(ImageSource::Base64 { media_type, data }) => {
            let image = json!({"type": "image", "data": data, "mimeType": media_type});
            let alone = FunctionResult {
                id: String::new(),
                content: vec![image.clone()],
                is_error: false,
            };
            match function::check_results(&[alone]) {
                Ok(()) => image,
                Err(_) => json!({"type": "text", "text": "[an image that cannot be read]"}),
            }
        }
        // MCP has no images that lie elsewhere.
        Content::Image(ImageSource::Url(url)) => {
            json!({"type": "text", "text": format!("[image at {url}]")})
        }
    }
}
