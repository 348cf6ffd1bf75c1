mod fetch;
#[cfg(test)]
mod loopback;
mod plain;
mod search;

pub(crate) use fetch::WebFetch;
pub(crate) use search::WebSearch;
