//! The OpenAI API, with the real CLI behind it.

mod answers;
pub(crate) mod chat;
mod failures;
mod secrets;
