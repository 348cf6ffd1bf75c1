use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::base_image::BaseImage;
use super::claude::Claude;
use super::docker_engine::DockerEngine;
use super::wrapper_binary::WrapperBinary;
use crate::invocation;
use crate::progress::Step;

/// `{context}` becomes the short hash of what goes in: an unchanged image is not built
/// again, and two checkouts do not take each other's.
const TAG: &str = "ccpool/test:{context}";

/// Certificates that this machine's administrator has added, as those of a proxy.
const LOCAL_CERTIFICATES: &str = "/usr/local/share/ca-certificates";

/// The agent's image, on the engine.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Image {
    tag: String,
}

impl Image {
    /// Builds it with `ccpool image build`, which does nothing when it is up to date.
    pub(crate) fn build(
        ccpool: &Path,
        engine: &DockerEngine,
        base: &BaseImage,
        claude: &Claude,
        wrapper: &WrapperBinary,
        state: &Path,
    ) -> Result<Self> {
        // A user's own configuration has no say in what is tested.
        let configuration = state.join("image.yaml");
        std::fs::write(&configuration, "{}\n")
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let step = Step::begin("building the agent's image (some 600 MB; seconds when cached)");
        let mut command = Command::new(ccpool);
        command
            .args([
                "image",
                "build",
                "--json",
                "--tag",
                TAG,
                "--base",
                base.reference(),
            ])
            .arg("--claude")
            .arg(claude.path())
            .arg("--wrapper")
            .arg(wrapper.path())
            .env("CCPOOL_CONFIG", &configuration);
        for certificate in local_certificates() {
            command.arg("--ca").arg(certificate);
        }
        if let Some(host) = engine.docker_host() {
            command.env("DOCKER_HOST", host);
        }
        let output = invocation::output_of(&mut command, "see its messages above")?;
        let image: Self = serde_json::from_slice(&output)
            .context("`ccpool image build --json` did not print one JSON object")?;
        step.done();
        Ok(image)
    }

    /// Its reference.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }
}

/// Sorted, so that the same machine always makes the same image.
fn local_certificates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(LOCAL_CERTIFICATES)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && path.extension().is_some_and(|end| end == "crt"))
        .collect();
    found.sort();
    found
}
