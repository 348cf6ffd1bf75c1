//! Providers against real parts.

mod anthropic;
mod breaking;
mod chain;
mod fake;
mod hostile;
mod raw_server;
