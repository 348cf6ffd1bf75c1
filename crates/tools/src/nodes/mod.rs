mod allow;
mod command;
mod exec;
mod kept;
mod known;
mod list;
mod mishap;
mod quote;
mod ssh;

pub use exec::NodesExec;
pub use list::NodesList;
