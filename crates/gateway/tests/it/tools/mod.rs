//! The gateway's tools, called by the real CLI.

mod call;
mod sessions;
mod web;

pub(crate) use call::{call, text};
