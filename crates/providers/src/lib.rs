//! Providers beside the pool, and the chain that goes from one to the next.

mod anthropic;

pub use anthropic::{Anthropic, AnthropicSettings, Credential, NotAnAddress};
