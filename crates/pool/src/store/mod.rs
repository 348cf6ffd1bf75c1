//! The pool's shared state: what gateways decide together, in Redis.

mod answer;
mod assigned;
mod contract;
mod error;
mod measured;
mod redis_store;
mod scripts;
mod spoilt;
mod users;

pub use contract::{
    ClaimOutcome, ClaimTerms, Condition, Page, PushOutcome, Reserve, Retired, Store,
};
pub use error::StoreError;
pub use redis_store::RedisStore;
pub use users::{RedisUsers, is_open};
