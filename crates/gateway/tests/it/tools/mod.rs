//! The gateway's tools, called by the real CLI.

mod call;
mod cron;
mod message;
mod nodes;
#[allow(dead_code, reason = "the tests of the tools themselves use all of it")]
#[path = "../../../../tools/tests/it/receiver.rs"]
mod receiver;
mod sessions;
#[allow(dead_code, reason = "the tests of the tools themselves use all of it")]
#[path = "../../../../tools/tests/it/sshd.rs"]
mod sshd;

pub(crate) use call::{call, text};
