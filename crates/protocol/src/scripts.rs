//! Lua scripts that one part loads into Redis and another calls.

/// Applies one batch of a session's output. Wrappers call it by its SHA-1 and may not load scripts
/// themselves, so gateways load it; its keys, arguments and codes stand at its head.
pub const PUBLISH: &str = include_str!("../lua/publish.lua");
