//! The gateway as a process, on real parts: Redis, the wrapper, `claude`. Only the model is a
//! stand-in.

mod bad_input;
mod claude_killed;
mod cli;
mod container_killed;
mod conversation;
mod docker;
mod docs;
mod faults;
mod gateway;
mod gateways;
mod interrupt;
mod ledger;
mod mcp;
mod network;
mod parts;
mod proc;
mod redis;
mod redis_proxy;
mod repeat;
mod resp;
mod restart;
mod slow_reader;
mod sse;
mod wrapper_killed;
