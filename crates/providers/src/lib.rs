//! Providers beside the pool, and the chain that goes from one to the next.

mod anthropic;
mod chain;
mod claude_cli;

pub use anthropic::{Anthropic, AnthropicSettings, Credential, NotAnAddress};
pub use chain::{Chain, UnknownProvider};
pub use claude_cli::ClaudeCli;
