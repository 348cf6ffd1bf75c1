//! How long a running turn takes to end when it is interrupted, from every side.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::pool::{Running, serve};
use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;
use crate::sse::Sse;
use crate::{gateway, model};

/// The model says a word and then nothing.
const PROMPT: &str = r#"[[do: {"text": "begun and more", "stallAfter": 1}]]"#;
const LIMIT: Duration = Duration::from_secs(60);
const SESSION: &str = "interrupted";

/// In ms, from the request to the turn's end.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    /// `claude` alone, over its stdin.
    pub(crate) floor: Samples,
    /// `POST …/interrupt`.
    pub(crate) http: Samples,
    /// `PUBLISH` over an open connection, as `redis-cli` does once it runs.
    pub(crate) redis: Samples,
    /// `ccpool sessions interrupt`, the start of the program included.
    pub(crate) cli: Samples,
}

pub(crate) async fn measure(
    arguments: &Arguments,
    count: usize,
    site: &mut Site,
) -> Result<Interrupts> {
    let models = model::start(
        site,
        "model-stream",
        &arguments.scripted_model,
        &["127.0.0.1"],
    )
    .await?;
    let model = models.first().context("the model listens nowhere")?;
    let running = serve(
        arguments,
        "interrupts",
        &arguments.claude,
        Some(model),
        json!({}),
        site,
    )
    .await?;
    running
        .client
        .post(format!("{}/sessions", running.base))
        .json(&json!({"session": SESSION}))
        .send()
        .await?
        .error_for_status()?;
    let mut floor = Direct::start(&arguments.claude, model, &site.folder("direct")?)?;
    let mut measured = Interrupts::default();
    // The first of each warms up.
    for round in 0..=count {
        let times = [
            floor.interrupted().await.context("claude alone")?,
            through(&running, Way::Http, arguments).await?,
            through(&running, Way::Redis, arguments).await?,
            through(&running, Way::Cli, arguments).await?,
        ];
        if round > 0 {
            let all = [
                &mut measured.floor,
                &mut measured.http,
                &mut measured.redis,
                &mut measured.cli,
            ];
            for (samples, time) in all.into_iter().zip(times) {
                samples.add(time);
            }
        }
    }
    Ok(measured)
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Http,
    Redis,
    Cli,
}

/// Begins a turn, interrupts it after its first words, and tells how long it then took to end.
async fn through(running: &Running, way: Way, arguments: &Arguments) -> Result<f64> {
    let path = format!("{}/sessions/{SESSION}", running.base);
    let turn = async {
        let mut response = running
            .client
            .post(format!("{path}/turns"))
            .json(&json!({"prompt": PROMPT}))
            .send()
            .await?
            .error_for_status()?;
        let client = redis::Client::open(&*running.redis_url)?;
        let mut redis = client.get_multiplexed_async_connection().await?;
        let mut sse = Sse::default();
        let mut asked = None;
        while let Some(chunk) = response.chunk().await? {
            sse.feed(&chunk);
            while let Some(event) = sse.next() {
                match event.event.as_str() {
                    "text_delta" if asked.is_none() => {
                        asked = Some(Instant::now());
                        match way {
                            Way::Http => {
                                let url = format!("{path}/interrupt");
                                running.client.post(url).send().await?.error_for_status()?;
                            }
                            Way::Redis => {
                                let _: u64 = redis::cmd("PUBLISH")
                                    .arg(format!("clawdbot:cc:{SESSION}:control"))
                                    .arg("interrupt")
                                    .query_async(&mut redis)
                                    .await?;
                            }
                            Way::Cli => command(running, arguments).await?,
                        }
                    }
                    "failed" => {
                        let event: Value = serde_json::from_str(&event.data)?;
                        if event["kind"] != "interrupted" {
                            bail!("the turn failed otherwise: {event}");
                        }
                        let asked = asked.context("it ended before it was interrupted")?;
                        return Ok(asked.elapsed().as_secs_f64() * 1e3);
                    }
                    _ => {}
                }
            }
        }
        bail!("the stream ended without an ending")
    };
    tokio::time::timeout(LIMIT, turn)
        .await
        .with_context(|| format!("{way:?}: no end in time"))?
}

async fn command(running: &Running, arguments: &Arguments) -> Result<()> {
    let listen = running.base.trim_start_matches("http://");
    let listen = listen.trim_end_matches("/api/docker-cc");
    let status = Command::new(&arguments.ccpool)
        .args(["sessions", "interrupt", SESSION, "--config"])
        .arg(&running.configuration)
        .env("CCPOOL_HTTP__LISTEN", listen)
        .stdout(Stdio::null())
        .status()
        .await?;
    anyhow::ensure!(status.success(), "ccpool sessions interrupt: {status}");
    Ok(())
}

/// A `claude` without anything around it.
struct Direct {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Direct {
    fn start(claude: &Path, model: &str, home: &Path) -> Result<Self> {
        let form = ["--input-format", "stream-json", "--output-format"];
        let mut child = Command::new(claude)
            .arg("-p")
            .args(form)
            .args(["stream-json", "--verbose", "--include-partial-messages"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("ANTHROPIC_API_KEY", gateway::KEY)
            .env("ANTHROPIC_BASE_URL", model)
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    async fn interrupted(&mut self) -> Result<f64> {
        self.write(&json!({"type": "user", "message": {"role": "user", "content": PROMPT}}))
            .await?;
        let turn = async {
            self.until("\"text_delta\"").await?;
            let asked = Instant::now();
            self.write(&json!({"type": "control_request", "request_id": "i",
                "request": {"subtype": "interrupt"}}))
                .await?;
            self.until("\"type\":\"result\"").await?;
            anyhow::Ok(asked.elapsed().as_secs_f64() * 1e3)
        };
        tokio::time::timeout(LIMIT, turn)
            .await
            .context("no end in time")?
    }

    async fn write(&mut self, line: &Value) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("stdin is piped")?;
        Ok(stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    async fn until(&mut self, part: &str) -> Result<()> {
        while let Some(line) = self.lines.next_line().await? {
            if line.contains(part) {
                return Ok(());
            }
        }
        bail!("claude ended")
    }
}
