mod address;
mod charset;
mod error;
mod follow;
mod links;
mod location;
mod media;
mod page;
mod read;
mod shown;
#[cfg(test)]
mod tests;
mod tool;

pub(crate) use tool::WebFetch;
