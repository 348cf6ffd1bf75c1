//! What tests and demo need, brought from this machine's own package sources.

mod base_image;
mod claude;
mod clients;
mod docker_engine;
mod image;
mod packages;
mod parts;
mod privilege;
pub(crate) mod program;
mod redis;
mod wrapper_binary;

pub(crate) use clients::Clients;
pub(crate) use parts::{Containers, Needs, Parts};
