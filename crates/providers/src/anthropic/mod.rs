//! The Messages API, asked without Claude Code.
//!
//! Nothing is kept between two conversations: each request tells the whole of it. The model has no
//! tools but the functions of whoever asks, and when it calls one, the answer ends with
//! `function_calls` and the results come with the next request.

mod answer;
mod listening;
mod mishap;
mod provider;
mod request;
mod settings;
mod sse;
mod wire;

pub use provider::Anthropic;
pub use settings::{AnthropicSettings, Credential, NotAnAddress};
