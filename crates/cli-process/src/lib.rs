//! `claude` as a process of this machine, whoever supervises it: [`spawn`] starts it, [`Process`] writes
//! to it and signals its group, [`Output`] tells what it prints and how it ends, and [`leftovers`] ends
//! what it leaves behind.
//!
//! What is to be done about any of it is up to the owner; nothing is logged here.

pub mod leftovers;
mod output;
mod process;

pub use output::{Event, Output};
pub use process::{Process, Stuck, spawn};
