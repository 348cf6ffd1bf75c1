//! Traces: spans of requests, claims and turns, sent to a collector where one is configured.

mod export;
mod request;
mod sender;

pub(crate) use export::Traces;
pub(crate) use request::{answered, record, span};
