//! The agent's container image, built through the Docker API.
//!
//! Dockerfile and awareness text are part of this library, so an installed ccpool
//! builds the image without its source tree; the two binaries come from paths.

mod build;
mod claude;
mod context;
#[cfg(test)]
mod engine_tests;
mod error;
mod progress;
mod tag;
mod upload;

pub use build::{BuiltImage, CLAUDE_VERSION_LABEL, CONTEXT_LABEL, ImageBuild};
pub use claude::ClaudeBinary;
pub use context::{BuildContext, ContextFile, ContextHash, FileDigest, Source, context_hash};
pub use error::ImageError;
pub use progress::BuildProgress;
pub use tag::ImageTag;
