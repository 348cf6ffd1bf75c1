//! The gateway's tools, called by the real CLI.

mod call;
mod history;
mod pass;
mod relay;
mod restart;
mod sessions;
mod web;

pub(crate) use call::{call, text};
