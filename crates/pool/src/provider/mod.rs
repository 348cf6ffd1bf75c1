//! Who answers conversations: a trait for chat-bots, and the pool as one that has it.
//!
//! A [`Conversation`] is told as a whole each time, as chat-bots and OpenAI's clients do. Whether its
//! newest part continues in a live session is the provider's business.

mod contract;
mod conversation;
mod error;
pub mod handover;
mod pooled;
mod spoken;

pub use contract::{Passed, Provider, ProviderHealth, Reply};
pub use conversation::{Content, Conversation, ImageSource, Message, SystemMode, ToolChoice};
pub use error::Refused;
pub use pooled::PoolProvider;
pub use spoken::Spoken;

pub use ccpool_protocol::function::{FunctionCall, FunctionResult, FunctionTool};
