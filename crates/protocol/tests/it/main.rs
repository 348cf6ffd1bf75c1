//! The protocol crate against what the real CLI printed.

mod transcripts;
