//! What fuzzing shares: the invariants that an input must keep, and a mutator that knows lines of
//! JSON.
//!
//! The tests of `ccpool-protocol` take the invariants in as a module, and hold the kept corpus
//! against them without a fuzzer.

pub mod invariants;
pub mod mutation;
