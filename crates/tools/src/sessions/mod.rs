mod list;
mod shown;
mod status;

pub(crate) use list::SessionsList;
pub(crate) use status::SessionStatus;
