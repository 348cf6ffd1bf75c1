//! The composition: Redis, runtime, pool and servers, started in order and stopped in order.

mod credentials;
mod error;
mod listener;
mod metrics;
mod providers;
mod running;
mod wrapper;

pub(crate) use credentials::from_environment as credentials;
pub(crate) use running::{Front, Gateway};
pub(crate) use wrapper::find as find_wrapper;
