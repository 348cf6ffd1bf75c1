use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::context::ContextHash;

/// The name that a built image gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageTag {
    /// This very reference, as `clawdbot/docker-cc:latest`.
    Exact(String),
    /// This repository, with the context's short hash for a tag: two different
    /// contexts never share a name, so parallel checkouts do not take each other's.
    ByContext(String),
}

/// Written for the tag, stands for the context's short hash.
const PLACEHOLDER: &str = ":{context}";

impl ImageTag {
    /// The reference to give to the engine for a context of this hash.
    pub fn resolve(&self, hash: &ContextHash) -> String {
        match self {
            Self::Exact(reference) => reference.clone(),
            Self::ByContext(repository) => format!("{repository}:{}", hash.short()),
        }
    }
}

/// `repository:{context}` is [`ImageTag::ByContext`]; everything else is taken as it is.
impl FromStr for ImageTag {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_suffix(PLACEHOLDER) {
            Some(repository) => Self::ByContext(repository.to_owned()),
            None => Self::Exact(text.to_owned()),
        })
    }
}

impl fmt::Display for ImageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(reference) => f.write_str(reference),
            Self::ByContext(repository) => write!(f, "{repository}{PLACEHOLDER}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::context::context_hash;

    #[test]
    fn the_placeholder_becomes_the_short_hash() {
        let tag: ImageTag = "ccpool/test:{context}".parse().unwrap();
        let hash = context_hash("base", &[]);
        assert_eq!(tag, ImageTag::ByContext("ccpool/test".into()));
        assert_eq!(tag.resolve(&hash), format!("ccpool/test:{}", hash.short()));
        assert_eq!(tag.to_string(), "ccpool/test:{context}");
    }

    #[test]
    fn any_other_reference_is_kept() {
        let tag: ImageTag = "registry.example:5000/cc:v1".parse().unwrap();
        assert_eq!(
            tag.resolve(&context_hash("base", &[])),
            "registry.example:5000/cc:v1"
        );
    }
}
