//! What the tests of several crates and the chaos runs have in common. Development only.

mod parts;
mod patience;
mod redis_server;
mod sse;

pub use parts::{built, claude, image, redis_server, wrapper};
pub use patience::{PATIENCE, eventually};
pub use redis_server::{RedisServer, serve, socket};
pub use sse::{Message, Sse};
