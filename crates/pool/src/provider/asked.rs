//! A conversation, looked at before a session is looked for.

use ccpool_protocol::FailureKind;
use ccpool_protocol::function::{self, FunctionResult, FunctionTool};
use serde_json::{Value, json};

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
        let has_results = new.iter().any(|m| matches!(m, Message::Tool { .. }));
        if !has_results && handover::prompt(new, &ToolChoice::Auto).is_empty() {
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

    fn whereabouts(&self, history: &Fingerprint) -> Whereabouts {
        let conversation = &self.conversation;
        self.by_name().unwrap_or_else(|| {
            let terms = Terms {
                caller: &conversation.caller,
                agent: conversation.agent.as_str(),
                model: &self.model,
                system: conversation.system.as_deref(),
                system_mode: conversation.system_mode,
            };
            Whereabouts::Said(history.under(terms).to_string())
        })
    }

    /// Whether the session knows what comes before what is new, and nothing else.
    pub(super) fn is_known_to(&self, resting: &Resting) -> bool {
        self.has_history() && resting.history.as_ref() == Some(&self.before)
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

    /// The results that the caller brings for these calls; an error for each that it leaves out.
    pub(super) fn results(&self, calls: &[String]) -> Vec<FunctionResult> {
        let results = calls.iter().map(|id| {
            let brought = self
                .new_messages()
                .iter()
                .find_map(|message| match message {
                    Message::Tool { call, content } if call == id => Some(content),
                    Message::Tool { .. } | Message::User(_) | Message::Assistant { .. } => None,
                });
            match brought {
                Some(content) => FunctionResult {
                    id: id.clone(),
                    content: content.iter().map(mcp).collect(),
                    is_error: false,
                },
                None => FunctionResult {
                    is_error: true,
                    ..FunctionResult::text(id, NO_RESULT)
                },
            }
        });
        results.collect()
    }

    /// Whether it brings the result of one of these calls.
    pub(super) fn brings_any(&self, calls: &[String]) -> bool {
        let mut new = self.new_messages().iter();
        new.any(|message| matches!(message, Message::Tool { call, .. } if calls.contains(call)))
    }

    /// What the user says beside results.
    pub(super) fn said_beside(&self) -> Vec<Value> {
        let new = self.new_messages().iter();
        let users = new.filter(|message| matches!(message, Message::User(_)));
        let users: Vec<Message> = users.cloned().collect();
        handover::prompt(&users, &ToolChoice::Auto)
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
