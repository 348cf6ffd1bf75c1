//! One request at a time over a connection of its own, to addresses that the caller chose.
//!
//! A client library would look names up by itself, keep connections, and follow redirects. Here the
//! address that was checked must be the one that is connected to, so each step is made by hand.

mod body;
mod exchange;
mod network;
mod retry_after;
mod tls;

pub use body::unpacked;
pub use exchange::{ExchangeError, Incoming, Outgoing, ask, exchange};
pub use network::{Network, System};
pub use retry_after::retry_after;
pub use tls::Tls;
