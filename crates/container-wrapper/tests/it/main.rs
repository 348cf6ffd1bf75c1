//! The wrapper with real parts: real Redis, the real `claude`, and a scripted model.

mod access;
mod boot;
mod live;
mod logs;
mod outage;
mod stop;
mod support;
mod turns;
mod watch;
