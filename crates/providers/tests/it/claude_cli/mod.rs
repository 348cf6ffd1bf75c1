//! The CLI of this host, with a scripted model.

mod conversations;
mod endings;
mod failures;
mod health;
mod processes;
mod rig;
mod setup;
