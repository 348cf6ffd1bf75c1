//! A stand-in for Anthropic's Messages API, driven by scenes.
//!
//! Tests, the demo and benchmarks point the real Claude Code CLI at it
//! (`ANTHROPIC_BASE_URL`) and decide what "the model" says: text at a pace, thinking, tool calls,
//! errors, stalls, broken connections. See the crate's README for the scene format.
//!
//! The core ([`scene`], [`conversation`], [`director`], [`frames`]) decides the answer and turns it
//! into timed frames without any IO; [`server`] puts it behind HTTP.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod api_error;
pub mod conversation;
pub mod director;
pub mod frames;
mod marker;
mod memory;
pub mod record;
mod request_log;
mod routes;
pub mod scene;
mod scene_json;
pub mod script_file;
pub mod server;
mod sse_body;
mod wire;

pub use api_error::ApiError;
pub use record::{Auth, Outcome, RecordedRequest};
pub use scene::{Answer, Block, Ending, Message, Pace, Reply, Scene, SceneError, StopReason};
pub use script_file::ScriptFile;
pub use server::{ScriptedModel, StartError, WaitError};
