//! Several gateways, each planning by what it sees and carrying that out step by step, while others,
//! containers and Redis come and go between any two steps.

mod gateway;
mod histories;
mod task;
mod world;

pub(crate) use task::launch;
