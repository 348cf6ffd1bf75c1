//! What a runtime can answer instead of doing what it was asked.

/// By what mends it.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The Docker Engine does not answer.
    #[error("the Docker Engine cannot be reached: {detail}")]
    Unreachable { detail: String },
    /// The image is not there.
    #[error("the image `{image}` is not there")]
    ImageMissing { image: String },
    /// A program of the process runtime is not there.
    #[error("`{program}` cannot be started: {detail}")]
    ProgramMissing { program: String, detail: String },
    /// The runtime refused.
    #[error("the runtime refused to {action}: {detail}")]
    Refused {
        action: &'static str,
        detail: String,
    },
}

impl RuntimeError {
    /// One line that says what mends it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "start Docker, set `docker.host`, or use `runtime: process` (no isolation)"
            }
            Self::ImageMissing { .. } => "build it with `ccpool image build`, or correct `image`",
            Self::ProgramMissing { .. } => "install it, or correct `claude.path` or `--wrapper`",
            Self::Refused { .. } => "see the detail; `ccpool doctor` checks each prerequisite",
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
