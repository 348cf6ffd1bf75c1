//! Providers beside the pool, and the chain that goes from one to the next.

mod anthropic;
mod chain;

pub use anthropic::{Anthropic, AnthropicSettings, Credential, NotAnAddress};
pub use chain::{Chain, UnknownProvider};
