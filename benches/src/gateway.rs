use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use ccpool_protocol::event::Timings;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::site::Site;
use crate::sse::Sse;

/// Claude Code wants a key; the model here takes any.
pub(crate) const KEY: &str = "sk-ant-fake-bench";

const START: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(60);
const TURN: Duration = Duration::from_secs(30);

/// The warm containers that are kept.
pub(crate) const MIN_WARM: u64 = 2;

/// How to run a gateway.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// Tells it from others of this run.
    pub(crate) name: &'a str,
    pub(crate) ccpool: &'a Path,
    pub(crate) redis_server: &'a Path,
    pub(crate) image: &'a str,
    pub(crate) network: &'a str,
    /// The model as its containers reach it.
    pub(crate) model: &'a str,
    /// At [`MIN_WARM`], a claim starts no refill.
    pub(crate) max_total: u64,
}

/// A `ccpool serve` with its Redis and containers, asked over HTTP.
#[derive(Debug)]
pub(crate) struct Gateway {
    base: String,
    client: Client,
    redis_url: String,
    name: String,
}

/// A claimed session.
#[derive(Debug, Deserialize)]
pub(crate) struct Claimed {
    pub(crate) session: String,
    pub(crate) container: String,
    waited: bool,
    /// Of the HTTP request.
    #[serde(skip)]
    pub(crate) took_ms: f64,
}

/// One turn, by the client's clock and by the gateway's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServedTurn {
    /// Until the response's head.
    pub(crate) head_ms: f64,
    pub(crate) first_delta_ms: f64,
    pub(crate) end_ms: f64,
    pub(crate) timings: Timings,
}

impl Gateway {
    /// Starts it; [`Gateway::settled`] tells when it is warm.
    pub(crate) async fn start(site: &mut Site, options: &Options<'_>) -> Result<Self> {
        let name = options.name;
        let data = site.folder(name)?;
        let configuration = site.path(&format!("{name}.yaml"));
        let text = json!({
            "pool": {"minWarm": MIN_WARM, "maxTotal": options.max_total, "claimTimeoutMs": 30_000},
            "image": options.image,
            "timeouts": {"idleMs": 3_600_000, "startupMs": 60_000},
            "redis": {"url": "embedded", "keyPrefix": site.name(&format!("{name}:"))},
            "docker": {"network": options.network, "containerPrefix": site.name(&format!("{name}-"))},
            "http": {"listen": "127.0.0.1:0"},
            "dataDir": data,
        });
        // JSON is YAML.
        std::fs::write(&configuration, text.to_string())?;
        let mut command = Command::new(options.ccpool);
        command
            .args(["serve", "--json", "--stop-timeout", "10", "--config"])
            .arg(&configuration)
            .env_clear()
            .env("PATH", path_with(options.redis_server)?)
            .env("HOME", &data)
            .env("ANTHROPIC_API_KEY", KEY)
            .env("ANTHROPIC_BASE_URL", options.model);
        if let Some(host) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", host);
        }
        let server = format!("ccpool-{name}");
        let pid = site.start(&server, &mut command)?;
        let line = site.first_line(&server, START).await?;
        let announced: Value = serde_json::from_str(&line)?;
        let base = announced["listening"]
            .as_str()
            .context("ccpool did not say where it listens")?;
        let redis_url = embedded_redis(&data, pid)?;
        Ok(Self {
            base: format!("{base}/api/docker-cc"),
            client: Client::builder().tcp_nodelay(true).no_proxy().build()?,
            redis_url,
            name: name.to_owned(),
        })
    }

    /// Where its Redis is, with the password.
    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Waits until all spares are warm and nothing starts or stops.
    pub(crate) async fn settled(&self) -> Result<()> {
        let mut poll = tokio::time::interval(Duration::from_millis(50));
        let quiet = async {
            loop {
                poll.tick().await;
                let pool: Value = self
                    .ask(self.client.get(format!("{}/pool", self.base)))
                    .await?;
                let count = |state: &str| pool["counts"][state].as_u64().unwrap_or(0);
                let moving = ["creating", "booting", "draining", "failed"].map(count);
                if count("warm") == MIN_WARM && moving == [0; 4] {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(SETTLE, quiet)
            .await
            .with_context(|| format!("the pool of {} did not fill in time", self.name))?
    }

    /// Claims a session of this name.
    pub(crate) async fn claim(&self, session: &str) -> Result<Claimed> {
        let request = self
            .client
            .post(format!("{}/sessions", self.base))
            .json(&json!({"session": session, "agent": session}));
        let began = Instant::now();
        let answer = self.ask(request).await?;
        let took_ms = since(began);
        let claimed: Claimed = serde_json::from_value(answer)?;
        ensure!(!claimed.waited, "a claim had to wait for a container");
        Ok(Claimed { took_ms, ..claimed })
    }

    /// Sends a prompt and follows its turn to the end.
    pub(crate) async fn turn(&self, session: &str, prompt: &str) -> Result<ServedTurn> {
        tokio::time::timeout(TURN, self.follow(session, prompt))
            .await
            .context("a turn through ccpool did not end in time")?
    }

    async fn follow(&self, session: &str, prompt: &str) -> Result<ServedTurn> {
        let request = self
            .client
            .post(format!("{}/sessions/{session}/turns", self.base))
            .json(&json!({"prompt": prompt}));
        let began = Instant::now();
        let mut response = request.send().await?;
        let head_ms = since(began);
        if !response.status().is_success() {
            bail!("ccpool refused a prompt: {}", response.text().await?);
        }
        let mut sse = Sse::default();
        let mut first_delta_ms = None;
        let mut ended = None;
        // To the very end, so that the connection can be used again.
        while let Some(chunk) = response.chunk().await? {
            sse.feed(&chunk);
            while let Some(event) = sse.next() {
                match event.event.as_str() {
                    "text_delta" => first_delta_ms = first_delta_ms.or(Some(since(began))),
                    "completed" => {
                        let event: Value = serde_json::from_str(&event.data)?;
                        let timings = Timings::deserialize(&event["timings"]).unwrap_or_default();
                        ended = Some((since(began), timings));
                    }
                    "failed" | "problem" => bail!("a turn through ccpool failed: {}", event.data),
                    _ => {}
                }
            }
        }
        let (end_ms, timings) = ended.context("a turn through ccpool had no end")?;
        let first_delta_ms = first_delta_ms.context("a turn through ccpool had no text")?;
        Ok(ServedTurn {
            head_ms,
            first_delta_ms,
            end_ms,
            timings,
        })
    }

    /// Ends a session; its container is gone then.
    pub(crate) async fn end(&self, session: &str) -> Result<()> {
        let answer = self
            .client
            .delete(format!("{}/sessions/{session}", self.base))
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "ccpool did not end {session}: {}",
            answer.status()
        );
        Ok(())
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "ccpool answers {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// The address of the Redis that a gateway has started for itself, with the password.
pub(crate) fn embedded_redis(data: &Path, gateway: u32) -> Result<String> {
    let redis = data.join("redis").join(gateway.to_string());
    let password = std::fs::read_to_string(redis.with_extension("password"))?;
    let socket = redis.join("redis.sock");
    Ok(format!("redis+unix://{}?pass={password}", socket.display()))
}

pub(crate) fn path_with(program: &Path) -> Result<std::ffi::OsString> {
    let own = program.parent().map(Path::to_owned);
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let all = own.into_iter().chain(std::env::split_paths(&usual));
    std::env::join_paths(all).context("a folder on PATH has a colon in its name")
}
