//! The pool against a real Redis, with containers that exist only on paper: what their wrappers
//! would say is said by the tests.

#![expect(
    clippy::disallowed_methods,
    reason = "a test owns its tasks by waiting for them"
)]

mod claim;
mod emptied;
mod gateways;
mod hostile;
mod lifecycle;
mod outage;
mod planning;
mod reading;
mod scene;
mod support;
mod turns;
mod users;
mod vandal;
mod waiting;
