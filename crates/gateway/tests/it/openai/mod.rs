//! The OpenAI API, with the real CLI behind it.

mod answers;
mod chat;
mod failures;
mod secrets;
