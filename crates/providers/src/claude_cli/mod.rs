//! The CLI of this host as a provider: no Redis, no Docker, no wrapper, and no isolation.

mod answer;
mod binary;
mod clock;
mod desk;
mod folder;
mod heard;
mod launch;
mod memory;
mod process;
mod provider;
mod talk;
mod turn;

pub use provider::ClaudeCli;
