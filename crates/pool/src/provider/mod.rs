//! Who answers conversations: a trait for chat-bots, and the pool as one that has it.
//!
//! A [`Conversation`] is told as a whole each time, as chat-bots and OpenAI's clients do. Whether its
//! newest part continues in a live session is the provider's business: [`PoolProvider`] goes on in
//! the process that answered last, which is sent only what is new, as long as it knows exactly what
//! the conversation says was said before. Otherwise a fresh session is told the history.
//!
//! ```no_run
//! # async fn example(pool: ccpool::Pool) -> Result<(), Box<dyn std::error::Error>> {
//! use ccpool::Event;
//! use ccpool::provider::{Conversation, Message, PoolProvider, Provider, Spoken};
//! use futures::StreamExt;
//!
//! let bot = PoolProvider::new(pool);
//! let mut chat = Conversation {
//!     caller: "my-bot".to_owned(),
//!     ..Conversation::default()
//! };
//! for prompt in ["My name is Ada.", "What is my name?"] {
//!     chat.messages.push(Message::user(prompt));
//!     let mut reply = bot.reply(chat.clone()).await?;
//!     let mut spoken = Spoken::default();
//!     while let Some(event) = reply.events.next().await {
//!         if let Some(more) = spoken.hear(&event.event) {
//!             print!("{more}");
//!         }
//!         if let Event::Failed(failed) = event.event {
//!             return Err(failed.message.into());
//!         }
//!     }
//!     // Word for word as it was said, so that the session is found again.
//!     chat.messages.push(Message::assistant(spoken.text()));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/chat_bot.rs` is a whole program.
//!
//! What a session has is told apart by a fingerprint of everything that was said, by whose the
//! conversation is, and by its model and system prompt. A conversation with a name is found by that:
//! another model is set in its session, another system prompt is told to it, and another history
//! begins a fresh one, called `name.2`, `name.3`, … Where a name is [shared](Conversation::shares_name),
//! another history is another conversation. A [`Message::Aside`] is no part of what was said.

mod asked;
mod call_id;
mod contract;
mod conversation;
mod error;
mod fingerprint;
pub mod handover;
mod hold;
mod lapse;
mod model_name;
mod outcome;
mod pooled;
mod resting;
pub(crate) mod room;
mod spoken;
mod telling;

pub use call_id::plain_call_id;
pub use contract::{Passed, Provider, ProviderHealth, Reply};
pub use conversation::{Content, Conversation, ImageSource, Message, SystemMode, ToolChoice};
pub use error::Refused;
pub use pooled::PoolProvider;
pub use spoken::Spoken;

pub use ccpool_protocol::function::{FunctionCall, FunctionResult, FunctionTool};
