//! Who answers conversations: a trait for chat-bots, and the pool as one that has it.
//!
//! A [`Conversation`] is told as a whole each time, as chat-bots and OpenAI's clients do. Whether its
//! newest part continues in a live session is the provider's business.

mod asked;
mod contract;
mod conversation;
mod error;
mod fingerprint;
mod handover;
mod hold;
mod model_name;
mod outcome;
mod pooled;
mod resting;
mod seams;
mod spoken;
mod telling;

pub use contract::{Passed, Provider, ProviderHealth, Reply};
pub use conversation::{Content, Conversation, ImageSource, Message, SystemMode, ToolChoice};
pub use error::Refused;
pub use pooled::PoolProvider;
pub use spoken::Spoken;

pub use ccpool_protocol::function::{FunctionCall, FunctionResult, FunctionTool};
