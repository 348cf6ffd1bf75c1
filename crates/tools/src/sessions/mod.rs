mod history;
mod list;
mod reply;
mod send;
mod shown;
mod spawn;
mod status;

pub(crate) use history::SessionsHistory;
pub(crate) use list::SessionsList;
pub(crate) use send::SessionsSend;
pub(crate) use shown::own;
pub(crate) use spawn::SessionsSpawn;
pub(crate) use status::SessionStatus;
