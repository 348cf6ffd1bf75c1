mod list;
mod shown;
mod status;

pub(crate) use list::SessionsList;
pub(crate) use shown::own;
pub(crate) use status::SessionStatus;
