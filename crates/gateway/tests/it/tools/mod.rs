//! The gateway's tools, called by the real CLI.

mod call;
mod cron;
mod sessions;

pub(crate) use call::{call, text};
