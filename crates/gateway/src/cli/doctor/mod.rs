mod engine;
mod examine;
mod host;
mod nodes;
mod redis;
mod report;

pub(crate) use examine::run;
