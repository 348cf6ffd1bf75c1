//! The gateway as a process, on real parts: Redis, the wrapper, `claude`. Only the model is a
//! stand-in.

mod bad_input;
mod cli;
mod conversation;
mod docker;
mod docs;
mod faults;
mod gateway;
mod mcp;
mod parts;
mod redis;
mod sse;
