//! `ccpool image build`.

use std::io::IsTerminal;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::image::{BuildProgress, ImageBuild, ImageError, ImageTag};
use indicatif::{ProgressBar, ProgressStyle};

use super::command::{Global, Image, ImageBuild as Arguments};
use super::docker_client;
use super::error::{CliError, Exit};
use super::output::print;
use crate::gateway::find_wrapper;

/// Builds the image and prints its tag.
pub(crate) async fn run(
    global: &Global,
    command: &Image,
    config: &Config,
) -> Result<Exit, CliError> {
    let Image::Build(arguments) = command;
    let build = plan(arguments, config).await?;
    let progress = Progress::new(global);
    let built = build.run(|line| progress.show(&line)).await;
    progress.bar.finish_and_clear();
    let image = built?;
    if global.json {
        print(serde_json::to_string(&image).expect("an image has string keys"))?;
    } else {
        print(&image.tag)?;
        if !global.quiet {
            let how = if image.reused {
                "was there already"
            } else {
                "is built"
            };
            eprintln!(
                "{how}: {}, claude {}, {}",
                image.id, image.claude_version, image.size
            );
        }
    }
    Ok(Exit::Done)
}

async fn plan(arguments: &Arguments, config: &Config) -> Result<ImageBuild, CliError> {
    let tag = arguments
        .tag
        .as_deref()
        .unwrap_or_else(|| config.image.as_str());
    let Ok(tag) = tag.parse::<ImageTag>();
    let base = arguments
        .base
        .as_deref()
        .unwrap_or_else(|| config.image_build.base.as_str());
    let claude = arguments.claude.as_deref().unwrap_or(&config.claude.path);
    let certificates = match arguments.ca.is_empty() {
        true => &config.image_build.ca_certificates,
        false => &arguments.ca,
    };
    Ok(ImageBuild {
        tag,
        base: base.to_owned(),
        claude: ccpool::on_path(claude),
        wrapper: find_wrapper(arguments.wrapper.as_deref())?,
        ca_certificates: certificates.clone(),
        docker: docker_client::connect(config)
            .await
            .map_err(ImageError::EngineUnreachable)?,
    })
}

impl From<ImageError> for CliError {
    fn from(error: ImageError) -> Self {
        let exit = match &error {
            ImageError::EngineUnreachable(_) => Exit::Unavailable,
            _ => Exit::Failed,
        };
        let text = error.to_string();
        let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
        // The library's messages say what is wrong, a colon, and what to do about it.
        match text
            .split_once(": ")
            .filter(|_| !matches!(error, ImageError::StepFailed { .. }))
        {
            Some((what, mend)) => Self::new(
                exit,
                "image",
                format!("{what}{}", cause.unwrap_or_default()),
            )
            .mend(mend),
            None => Self::new(exit, "image", text),
        }
    }
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    fn new(global: &Global) -> Self {
        let wanted = !global.quiet && !global.json;
        let terminal = std::io::stderr().is_terminal();
        if !wanted || !terminal {
            return Self {
                bar: ProgressBar::hidden(),
                lines: wanted,
            };
        }
        let style =
            ProgressStyle::with_template("{spinner} {bar:20} step {pos} of {len}  {wide_msg}")
                .expect("the template is valid");
        let bar = ProgressBar::new(0).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, lines: false }
    }

    fn show(&self, progress: &BuildProgress) {
        if self.lines {
            eprintln!("[{}/{}] {}", progress.step, progress.total, progress.line);
        }
        self.bar.set_length(u64::from(progress.total));
        self.bar.set_position(u64::from(progress.step));
        self.bar.set_message(progress.line.clone());
    }
}
