use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::ImageInspect;
use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder};
use bytesize::ByteSize;
use futures::StreamExt;
use serde::Serialize;

use super::claude::ClaudeBinary;
use super::context::{BuildContext, ContextHash, context_hash};
use super::error::ImageError;
use super::progress::{BuildProgress, Transcript};
use super::tag::ImageTag;
use super::upload::Upload;

/// Label with the hash of everything that the image was built from.
pub const CONTEXT_LABEL: &str = "ccpool.context";

/// Label with the version of the Claude Code binary inside.
pub const CLAUDE_VERSION_LABEL: &str = "ccpool.claude-version";

/// The engine answers a build only once it has the context and runs the first step.
const ANSWER_DEADLINE: Duration = Duration::from_secs(600);

/// An image to build.
#[derive(Debug, Clone)]
pub struct ImageBuild {
    /// Name of the result.
    pub tag: ImageTag,
    /// Image to start from; pulled when the engine does not have it.
    pub base: String,
    /// The Claude Code binary to put in, on this host.
    pub claude: PathBuf,
    /// The statically linked wrapper to put in, on this host.
    pub wrapper: PathBuf,
    /// Extra CA certificates to trust inside, PEM.
    pub ca_certificates: Vec<PathBuf>,
    /// Client of the engine to build on.
    pub docker: Docker,
}

/// An image that is on the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltImage {
    /// The reference under which it is found.
    pub tag: String,
    /// The engine's id, `sha256:…`.
    pub id: String,
    /// Size with all layers.
    #[serde(serialize_with = "in_bytes")]
    pub size: ByteSize,
    /// Version of the Claude Code binary inside.
    pub claude_version: String,
    /// Hash of everything it was built from.
    pub context: String,
    /// True when it was there already and nothing was built.
    pub reused: bool,
}

impl ImageBuild {
    /// Builds the image, or finds it built from the same inputs already.
    ///
    /// `progress` is called with each line of output as it comes.
    ///
    /// # Errors
    /// See [`ImageError`]; the engine is asked first, then the inputs are checked.
    pub async fn run(
        &self,
        mut progress: impl FnMut(BuildProgress),
    ) -> Result<BuiltImage, ImageError> {
        let docker = self
            .docker
            .clone()
            .with_timeout(ANSWER_DEADLINE)
            .negotiate_version()
            .await
            .map_err(ImageError::EngineUnreachable)?;
        let mut say = |line: String| {
            progress(BuildProgress {
                step: 0,
                total: 0,
                line,
            });
        };

        let claude = ClaudeBinary::inspect(&self.claude).await?;
        let context = BuildContext::assemble(&claude, &self.wrapper, &self.ca_certificates)?;
        let base_id = self.base_id(&docker, &mut say).await?;
        say("hashing the build context".into());
        let (context, hash) = hashed(context, base_id).await?;
        let tag = self.tag.resolve(&hash);
        let result = |image: ImageInspect, reused| BuiltImage {
            tag: tag.clone(),
            id: image.id.unwrap_or_default(),
            size: ByteSize::b(
                image
                    .size
                    .and_then(|size| size.try_into().ok())
                    .unwrap_or(0),
            ),
            claude_version: claude.version().to_owned(),
            context: hash.to_string(),
            reused,
        };

        if let Some(present) = inspect(&docker, &tag).await?
            && label(&present, CONTEXT_LABEL) == Some(hash.as_str())
        {
            say(format!("{tag} is up to date"));
            return Ok(result(present, true));
        }
        say(format!(
            "sending {} to the engine",
            ByteSize::b(context.size()?)
        ));
        self.build(&docker, context, &tag, &hash, claude.version(), progress)
            .await?;
        match inspect(&docker, &tag).await? {
            Some(image) => Ok(result(image, false)),
            None => Err(ImageError::StepFailed {
                step: 0,
                total: 0,
                instruction: "end of build".into(),
                message: format!("the engine reported success but has no {tag}"),
                output: Vec::new(),
            }),
        }
    }

    /// The base image's id; pulls it when the engine does not have it.
    async fn base_id(
        &self,
        docker: &Docker,
        say: &mut impl FnMut(String),
    ) -> Result<String, ImageError> {
        if let Some(id) = inspect(docker, &self.base)
            .await?
            .and_then(|image| image.id)
        {
            return Ok(id);
        }
        say(format!("pulling {}", self.base));
        let missing = |source| ImageError::BaseMissing {
            base: self.base.clone(),
            source,
        };
        let options = CreateImageOptionsBuilder::new()
            .from_image(&with_tag(&self.base))
            .build();
        let mut pulling = docker.create_image(Some(options), None, None);
        while let Some(step) = pulling.next().await {
            if let Some(status) = step.map_err(missing)?.status {
                say(status);
            }
        }
        drop(pulling);
        docker
            .inspect_image(&self.base)
            .await
            .map_err(missing)?
            .id
            .ok_or_else(|| {
                missing(DockerError::DockerResponseServerError {
                    status_code: 404,
                    message: "pulled, but without an id".into(),
                })
            })
    }

    async fn build(
        &self,
        docker: &Docker,
        context: BuildContext,
        tag: &str,
        hash: &ContextHash,
        claude_version: &str,
        mut progress: impl FnMut(BuildProgress),
    ) -> Result<(), ImageError> {
        let arguments = HashMap::from([
            ("BASE", self.base.as_str()),
            ("CLAUDE_VERSION", claude_version),
        ]);
        let options = BuildImageOptionsBuilder::new()
            .t(tag)
            .buildargs(&arguments)
            .labels(&HashMap::from([(CONTEXT_LABEL, hash.as_str())]))
            // Installing packages needs a way out, which the default bridge may not have.
            .networkmode("host")
            .rm(true)
            .forcerm(true)
            .build();
        let (upload, body) = Upload::start(context);
        let mut answers = docker.build_image(options, None, Some(bollard::body_try_stream(body)));
        let mut transcript = Transcript::default();
        let mut outcome = Ok(());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(info) => {
                    let piece = info.stream.unwrap_or_default();
                    transcript.push(&piece).into_iter().for_each(&mut progress);
                }
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        drop(answers);
        if let Some(last) = transcript.finish() {
            progress(last);
        }
        if let Some(source) = upload.failure().await {
            let path = self.claude.clone();
            return Err(ImageError::Unreadable {
                what: "build context of",
                path,
                source,
            });
        }
        outcome.map_err(|error| failed(error, transcript))
    }
}

/// Hashes on a blocking thread: reading the claude binary takes a while.
async fn hashed(
    context: BuildContext,
    base_id: String,
) -> Result<(BuildContext, ContextHash), ImageError> {
    let hashing = tokio::task::spawn_blocking(move || {
        let hash = context_hash(&base_id, &context.digests()?);
        Ok((context, hash))
    });
    match hashing.await {
        Ok(result) => result,
        // Nobody else holds the task, so it was not cancelled: it panicked.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What the engine knows of an image, or `None` when it has no such image.
async fn inspect(docker: &Docker, reference: &str) -> Result<Option<ImageInspect>, ImageError> {
    match docker.inspect_image(reference).await {
        Ok(image) => Ok(Some(image)),
        Err(DockerError::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        Err(source) => Err(ImageError::Engine {
            doing: format!("reading the image {reference}"),
            source,
        }),
    }
}

fn label<'a>(image: &'a ImageInspect, name: &str) -> Option<&'a str> {
    image
        .config
        .as_ref()?
        .labels
        .as_ref()?
        .get(name)
        .map(String::as_str)
}

/// Without a tag the engine would pull every tag of a repository.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains(':') || name.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

fn failed(error: DockerError, transcript: Transcript) -> ImageError {
    match error {
        DockerError::DockerStreamError { error: message } => {
            let (step, total, instruction, output) = transcript.into_step();
            ImageError::StepFailed {
                step,
                total,
                instruction,
                message,
                output,
            }
        }
        source => ImageError::Engine {
            doing: "building the image".into(),
            source,
        },
    }
}

fn in_bytes<S: serde::Serializer>(size: &ByteSize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(size.as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_tag_gets_one() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("host:5000/debian"), "host:5000/debian:latest");
        assert_eq!(with_tag("debian:bookworm-slim"), "debian:bookworm-slim");
        assert_eq!(with_tag("debian@sha256:00"), "debian@sha256:00");
    }

    #[test]
    fn a_failing_step_brings_its_last_lines() {
        let mut transcript = Transcript::default();
        transcript.push("Step 5/13 : RUN apt-get\nE: no network\n");
        let error = failed(
            DockerError::DockerStreamError {
                error: "returned a non-zero code: 100".into(),
            },
            transcript,
        );
        assert_eq!(
            error.to_string(),
            "step 5 of 13 failed (RUN apt-get): returned a non-zero code: 100\n    E: no network"
        );
        assert!(!error.is_retryable());
    }

    #[test]
    fn sizes_are_bytes_in_json() {
        let image = BuiltImage {
            tag: "a:b".into(),
            id: "sha256:0".into(),
            size: ByteSize::b(5),
            claude_version: "1.2.3".into(),
            context: "00".into(),
            reused: true,
        };
        assert_eq!(
            serde_json::to_value(&image).unwrap(),
            serde_json::json!({"tag": "a:b", "id": "sha256:0", "size": 5,
                "claudeVersion": "1.2.3", "context": "00", "reused": true})
        );
    }
}
