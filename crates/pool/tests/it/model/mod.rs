//! Random histories of a pool's shared state: Redis does what the model in memory does, and neither
//! ever breaks what the pool promises.

mod actors;
mod histories;
mod in_redis;
mod promises;
mod step;
mod view;

pub(crate) use histories::at_once;
