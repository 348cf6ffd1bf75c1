//! The protocol crate against what the real CLI printed.

mod corpus;
mod extremes;
/// What the fuzz targets call.
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
#[path = "../../../../fuzz/src/invariants/mod.rs"]
mod invariants;
mod properties;
mod short;
mod stages;
mod transcripts;
