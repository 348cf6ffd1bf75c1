//! The gateway's tools on real parts: the system's `ssh` and `sshd`, HTTP over loopback.

mod any_arguments;
mod arguments;
mod call;
mod embedding;
mod message;
mod nodes;
mod receiver;
mod sshd;
