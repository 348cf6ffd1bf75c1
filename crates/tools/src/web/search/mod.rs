mod brave;
mod error;
mod hit;
mod provider;
mod searxng;
mod tavily;
#[cfg(test)]
mod tests;
mod tool;

pub(crate) use tool::WebSearch;
