//! Providers and the chain: with fakes for everything that can happen, and with real parts for what
//! must work.

mod anthropic;
mod breaking;
mod chain;
mod claude_cli;
mod fake;
mod hostile;
mod raw_server;
mod real;
