mod auth;
mod server;
mod tools;

pub(crate) use server::router;
