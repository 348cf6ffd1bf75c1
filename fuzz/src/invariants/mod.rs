//! What must hold for whatever bytes come from outside. Each `check` panics when it does not.

pub mod envelopes;
pub mod fold;
pub mod framing;
pub mod input_items;
mod nesting;
pub mod reading;
pub mod telling;
