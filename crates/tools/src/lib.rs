//! The gateway's tools: what an agent in a container can call over MCP.
//!
//! A [`Tool`] is a name, a description, typed arguments and what it does. [`GatewayTools`] is the set
//! that a gateway offers: the built-in ones, to which a program that embeds the library adds its own,
//! and from which it takes what it does not want. [`bridge`] serves them at `/mcp`.
//!
//! Who calls is told by the bearer token of each request and never by an argument, so a session
//! cannot act as another one. What a tool answers is written for a model to read: what it says of a
//! failure tells what to do instead.

mod agents;
mod answer;
mod auth;
mod bridge;
mod built_in;
mod call;
mod config_get;
mod cron;
mod message;
mod nodes;
mod pace;
mod policy;
mod running;
mod sessions;
mod tool;
mod toolset;
mod web;

pub use answer::{Answer, Refusal};
pub use bridge::bridge;
pub use call::{Call, Caller, Progress};
pub use cron::Scheduler;
pub use message::{Channel, Channels, Message, SendMessage};
pub use nodes::{NodesExec, NodesList};
pub use policy::Policy;
pub use tool::{Effect, Tool};
pub use toolset::{GatewayTools, ToolDescription};
