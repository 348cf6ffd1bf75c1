//! The stand-in over real HTTP.

mod binary;
mod breaks;
mod client;
mod control;
mod messages;
mod readme;
