mod engine;
mod examine;
mod host;
mod redis;
mod report;

pub(crate) use examine::run;
