//! Providers against real parts.

mod anthropic;
mod hostile;
mod raw_server;
