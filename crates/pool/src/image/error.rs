use std::io;
use std::path::PathBuf;

/// Why an image could not be built. Every message ends with what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No engine answers where the client looks for one.
    #[error(
        "no Docker Engine answers: start it, or point DOCKER_HOST at a running one \
         (its socket must be readable and writable for this user)"
    )]
    EngineUnreachable(#[source] bollard::errors::Error),

    /// The engine answered a request with a failure of its own.
    #[error("the Docker Engine failed while {doing}: see its log for the reason")]
    Engine {
        /// What was asked of the engine, as "reading the image …".
        doing: String,
        /// The engine's answer.
        #[source]
        source: bollard::errors::Error,
    },

    /// The base image is not on the engine and could not be pulled.
    #[error(
        "the base image {base} is not on the engine and cannot be pulled: load it there \
         (`docker pull`, `docker load` or `docker import`), or name another with --base"
    )]
    BaseMissing {
        /// The reference that was looked for.
        base: String,
        /// Why the pull failed.
        #[source]
        source: bollard::errors::Error,
    },

    /// A file of the context is missing or cannot be read.
    #[error("the {what} {} cannot be read: check the path and its permissions", path.display())]
    Unreadable {
        /// Which file of the context this is, in words.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },

    /// A program is there but is no executable file.
    #[error("the {what} {} is not an executable file: `chmod +x` it, or name another", path.display())]
    NotExecutable {
        /// Which program this is, in words.
        what: &'static str,
        /// Where it lies.
        path: PathBuf,
    },

    /// The claude binary does not say which version it is.
    #[error(
        "{} does not answer `--version` as Claude Code does (it said {said:?}): \
         take the binary from the package for this platform", path.display()
    )]
    NotClaude {
        /// The binary that was asked.
        path: PathBuf,
        /// What it printed or why it could not be run; at most 200 characters.
        said: String,
    },

    /// A file given as CA certificate holds none in PEM form.
    #[error("{} holds no PEM certificate: convert it with `openssl x509 -inform der -out FILE.crt`", path.display())]
    NotACertificate {
        /// The file that was given.
        path: PathBuf,
    },

    /// A step of the Dockerfile failed.
    #[error(
        "step {step} of {total} failed ({instruction}): {message}{}",
        tail(output)
    )]
    StepFailed {
        /// Number of the step, from 1; 0 before the first.
        step: u32,
        /// How many steps there are; 0 when not known yet.
        total: u32,
        /// The instruction as the engine announced it.
        instruction: String,
        /// The engine's message.
        message: String,
        /// The step's last lines of output, oldest first.
        output: Vec<String>,
    },
}

fn tail(output: &[String]) -> String {
    output.iter().map(|line| format!("\n    {line}")).collect()
}

impl ImageError {
    /// True when the same call may succeed later without any change: the engine or
    /// a registry was away. Wrong inputs and failing steps stay wrong.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::EngineUnreachable(_) | Self::Engine { .. } | Self::BaseMissing { .. } => true,
            Self::Unreadable { .. }
            | Self::NotExecutable { .. }
            | Self::NotClaude { .. }
            | Self::NotACertificate { .. }
            | Self::StepFailed { .. } => false,
        }
    }
}
