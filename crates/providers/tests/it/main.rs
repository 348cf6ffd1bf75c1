//! What the providers promise, on real parts.

mod claude_cli;
