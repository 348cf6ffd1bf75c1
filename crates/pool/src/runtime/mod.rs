//! Where containers run. Nothing outside this folder knows how.

mod contract;
mod docker;
mod error;
mod fake;
mod measured;
mod process;

pub use contract::{Exit, HostAddress, Launch, Presence, Runtime};
pub use docker::DockerRuntime;
pub use error::RuntimeError;
pub use fake::FakeRuntime;
pub use measured::Measured;
pub use process::ProcessRuntime;
