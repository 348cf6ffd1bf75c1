//! Prompts and messages at set times.
//!
//! The tools write jobs down in Redis; every gateway's [`Scheduler`] looks there for what is due. Which
//! gateway carries out a run, and that no other one does, is decided by Redis alone, with its own
//! clock.

mod create;
mod delete;
mod due;
mod expression;
mod fire;
mod list;
mod plan;
mod post;
mod schedule;
mod scheduler;

pub(crate) use create::CronCreate;
pub(crate) use delete::CronDelete;
pub(crate) use list::CronList;
pub use scheduler::Scheduler;
