//! Providers beside the pool, and the chain that goes from one to the next.

mod claude_cli;

pub use claude_cli::ClaudeCli;
