//! The OpenAI API, with the real CLI behind it.

mod answers;
pub(crate) mod chat;
mod continuing;
mod failures;
mod forms;
mod openclaw;
mod rounds;
mod secrets;
mod talk;
mod usage;
