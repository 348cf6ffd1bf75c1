//! The pool against a real Redis, with containers that exist only on paper: what their wrappers
//! would say is said by the tests. In `provider` they are real: wrapper and `claude` as processes.

#![expect(
    clippy::disallowed_methods,
    reason = "a test owns its tasks by waiting for them"
)]

mod claim;
mod contract;
mod emptied;
mod gateways;
mod hostile;
mod lifecycle;
mod model;
mod nothing_starts;
mod outage;
mod planning;
mod provider;
mod reading;
mod scene;
mod support;
mod swarm;
mod turns;
mod users;
mod vandal;
mod waiting;
