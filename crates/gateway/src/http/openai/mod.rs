//! The OpenAI API, for clients that know no other: `/v1/models` and `/v1/chat/completions`, on
//! whatever [provider](ccpool::provider::Provider) the gateway has.

mod answer;
mod answerer;
pub(crate) mod chat;
mod chunk;
mod content;
mod error;
mod field;
mod head;
mod message;
pub(crate) mod models;
mod options;
mod request;
mod said;
mod schema;
mod sender;
mod shape;
mod stream;
#[cfg(test)]
mod tests;
mod tool;
mod usage;

pub(crate) use shape::shape;
