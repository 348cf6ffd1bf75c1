//! What the gateway, the wrapper inside a container and a person with `redis-cli` agree on.
//!
//! Types and pure functions only: no sockets, no clock, no async runtime. Whatever two parts of
//! ccpool must understand in the same way stands here once:
//!
//! * [`keys`]: every Redis key and channel;
//! * [`input`], [`function`], [`control`], [`permission`], [`envelope`], [`state`], [`record`],
//!   [`assignment`], [`boot`]: what travels through them;
//! * [`mark`]: the processes of a container;
//! * [`framing`], [`mod@line`], [`stdin`], [`cli`], [`vigil`]: how `claude` is started, the stream-json that it
//!   speaks, and what it owes;
//! * [`event`], [`fold`], [`failure`], [`stages`], [`usage`]: what a reader of a turn is told.

pub mod access;
pub mod assignment;
pub mod boot;
pub mod cli;
pub mod control;
mod draft;
pub mod envelope;
pub mod event;
pub mod failure;
pub mod fold;
pub mod framing;
pub mod function;
pub mod ids;
pub mod input;
pub mod keys;
pub mod line;
pub mod mark;
pub mod outcome;
pub mod permission;
pub mod record;
pub mod replay;
pub mod scripts;
pub mod stages;
pub mod state;
pub mod stdin;
pub mod transcript;
pub mod usage;
pub mod vigil;
mod wrapper_line;

pub use event::{Event, ReplyEvent};
pub use failure::FailureKind;
pub use ids::{AgentId, ContainerId, RequestId, SessionId, TurnId};

/// Milliseconds since the Unix epoch.
pub type UnixMs = u64;
