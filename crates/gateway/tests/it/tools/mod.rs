//! The gateway's tools, called by the real CLI.

mod call;
mod cron;
mod direct;
mod history;
mod message;
mod nodes;
mod pass;
#[allow(dead_code, reason = "the tests of the tools themselves use all of it")]
#[path = "../../../../tools/tests/it/receiver.rs"]
mod receiver;
mod relay;
mod restart;
mod sessions;
#[allow(dead_code, reason = "the tests of the tools themselves use all of it")]
#[path = "../../../../tools/tests/it/sshd.rs"]
mod sshd;
mod web;

pub(crate) use call::{call, text};
