use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::docker;
use crate::first_delta::{Marks, TurnTimes};
use crate::recipe::Recipe;
use crate::site::Site;

const LIMIT: Duration = Duration::from_secs(60);

/// What a `claude` that serves one prompt is told.
fn arguments(prompt: &str) -> [&str; 6] {
    let form = [
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
    ];
    ["-p", prompt, form[0], form[1], form[2], form[3]]
}

/// The ways of starting `claude` anew for every prompt.
#[derive(Debug)]
pub(crate) struct OneShots {
    pub(crate) image: String,
    pub(crate) claude: std::path::PathBuf,
    pub(crate) network: String,
    /// The model's address on the host, and in the containers.
    pub(crate) local_model: String,
    pub(crate) recipe: Recipe,
    runs: usize,
    /// The container that `docker exec` goes to.
    running: String,
}

impl OneShots {
    /// Starts the container that waits for `docker exec`.
    pub(crate) async fn prepare(
        site: &Site,
        image: &str,
        claude: &std::path::Path,
        (network, model): (&str, &str),
        local_model: &str,
        recipe: &Recipe,
    ) -> Result<Self> {
        let mut recipe = recipe.clone();
        recipe
            .environment
            .insert("ANTHROPIC_BASE_URL".to_owned(), model.to_owned());
        recipe.write_environment(&site.path("one-shot.env"))?;
        let running = site.name("exec");
        let mut run = vec!["run".to_owned(), "--detach".to_owned()];
        run.push(format!("--name={running}"));
        run.push("--entrypoint=tini".to_owned());
        run.extend(recipe.container_flags(network, &site.path("one-shot.env")));
        run.push(image.to_owned());
        run.extend(["--", "sleep", "infinity"].map(str::to_owned));
        docker::run(&run).await?;
        Ok(Self {
            image: image.to_owned(),
            claude: claude.to_owned(),
            network: network.to_owned(),
            local_model: local_model.to_owned(),
            recipe,
            runs: 0,
            running,
        })
    }

    /// `docker exec … claude -p`.
    pub(crate) async fn exec(&self, prompt: &str) -> Result<TurnTimes> {
        let mut command = docker::command();
        command
            .args(["exec", &self.running, "claude"])
            .args(arguments(prompt));
        time(&mut command).await
    }

    /// `docker run --rm … claude -p`.
    pub(crate) async fn run(&mut self, site: &Site, prompt: &str) -> Result<TurnTimes> {
        self.runs += 1;
        let mut command = docker::command();
        command
            .args(["run", "--rm", "--entrypoint=claude"])
            .arg(format!(
                "--name={}",
                site.name(&format!("run-{}", self.runs))
            ))
            .args(
                self.recipe
                    .container_flags(&self.network, &site.path("one-shot.env")),
            )
            .arg(&self.image)
            .args(arguments(prompt));
        time(&mut command).await
    }

    /// `claude -p` on this host, in a HOME of its own.
    pub(crate) async fn host(&mut self, site: &Site, prompt: &str) -> Result<TurnTimes> {
        self.runs += 1;
        let home = site.folder(&format!("home-{}", self.runs))?;
        let mut command = Command::new(&self.claude);
        command
            .args(arguments(prompt))
            .env_clear()
            .envs(&self.recipe.environment)
            .env("ANTHROPIC_BASE_URL", &self.local_model)
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .current_dir(&home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        time(&mut command).await
    }
}

/// From before the program is started.
async fn time(command: &mut Command) -> Result<TurnTimes> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut times = TurnTimes::default();
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut output = child.stdout.take().context("no stdout")?;
    let mut errors = child.stderr.take().context("no stderr")?;
    let mut said = String::new();
    let reading = async {
        let mut marks = Marks::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = output.read(&mut chunk).await?;
            if count == 0 {
                return anyhow::Ok(());
            }
            marks.feed(&chunk[..count]);
            while let Some(mark) = marks.next() {
                times.see(mark, began);
            }
        }
    };
    let both = async {
        tokio::try_join!(reading, async {
            Ok(errors.read_to_string(&mut said).await?)
        })
    };
    tokio::time::timeout(LIMIT, both)
        .await
        .context("claude did not end in time")??;
    let status = child.wait().await?;
    if !status.success() {
        bail!("{program} ended with {status}: {}", said.trim());
    }
    ensure!(
        times.success && times.first_delta.is_some(),
        "{program} gave no answer"
    );
    Ok(times)
}
