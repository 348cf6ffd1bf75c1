//! The pool's shared state: what gateways decide together, in Redis.

mod answer;
mod assigned;
mod bearer;
mod claims;
mod contract;
mod error;
mod fake_book;
mod fake_claims;
mod fake_register;
mod fake_sessions;
mod fake_store;
mod jobs;
mod measured;
pub(crate) mod news;
mod redis_claims;
mod redis_jobs;
mod redis_register;
mod redis_sessions;
mod redis_store;
mod register;
mod scripts;
mod sessions;
mod spoilt;
mod users;

pub use bearer::Bearer;
pub use claims::{ClaimNumber, ClaimOutcome, ClaimTerms, Claims, Queue, Ticket};
pub use contract::{Condition, Reservation, Reserve, Retired, Store};
pub use error::StoreError;
pub use fake_store::FakeStore;
pub use jobs::{Added, Finished, Job, JobId, JobState, Jobs, LastRun, NewJob, Run, Take, Taken};
pub use redis_jobs::RedisJobs;
pub use redis_store::RedisStore;
pub use register::Register;
pub use sessions::{Conclusion, Page, PushOutcome, Sessions};
pub use users::{RedisUsers, is_open};
