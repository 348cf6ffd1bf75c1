//! A gateway on the process runtime whose `claude` is the chatter.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::memory::{Memory, child_named};
use super::reader::TurnReader;
use super::{KEEP, LONG_PACE};
use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;

const SESSION: &str = "stream";
const START: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_secs(300);
/// Read at a time, in bytes.
const READ: usize = 256 << 10;

/// It has one session, which all turns go to.
#[derive(Debug)]
pub(crate) struct StreamPool {
    base: String,
    client: Client,
    redis_url: String,
    gateway: u32,
    chatter: PathBuf,
    container: String,
}

impl StreamPool {
    /// Its buffers keep [`KEEP`] envelopes, so that a reader may be behind for a moment.
    pub(crate) async fn start(arguments: &Arguments, site: &mut Site) -> Result<Self> {
        let chatter = arguments.ccpool.with_file_name("chatter");
        let extra = json!({"redis": {"outputBuffer": KEEP}});
        let running = serve(arguments, "stream", &chatter, None, extra, site).await?;
        let claim = running
            .client
            .post(format!("{}/sessions", running.base))
            .json(&json!({"session": SESSION}));
        let claimed: Value = claim.send().await?.error_for_status()?.json().await?;
        let container = claimed["container"].as_str().context("no container")?;
        Ok(Self {
            base: running.base,
            client: running.client,
            redis_url: running.redis_url,
            gateway: running.pid,
            chatter,
            container: container.to_owned(),
        })
    }

    /// Where its tools are.
    pub(crate) fn mcp_url(&self) -> String {
        self.base.replace("/api/docker-cc", "/mcp")
    }

    /// A token by which tools are called as its session does.
    pub(crate) async fn mcp_token(&self) -> Result<String> {
        let path = format!("{}/sessions/{SESSION}/mcp-token", self.base);
        let issued = self.client.post(path).json(&json!({})).send().await?;
        let issued: Value = issued.error_for_status()?.json().await?;
        let token = issued["token"].as_str().context("no token was issued")?;
        Ok(token.to_owned())
    }

    /// The token of its session's container, as the chatter in there was given it.
    pub(crate) fn container_token(&self) -> Result<String> {
        let mut programs = std::fs::read_dir("/proc")?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|process| {
                std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == self.chatter)
            });
        programs
            .find_map(|process| token_of(&process).filter(|token| token.contains(&self.container)))
            .context("no chatter has its container's token")
    }

    pub(crate) fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Envelopes a second, from the prompt until the reader has the ending.
    pub(crate) async fn burst(&self, count: u64) -> Result<f64> {
        let began = Instant::now();
        self.turn(count, 0, TurnReader::default(), |_| Ok(()))
            .await?;
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    /// How long each delta took from `claude`'s stdout to the reader, in ms.
    pub(crate) async fn paced(&self, count: u64, pace: u64) -> Result<Samples> {
        let mut reader = TurnReader::default();
        reader.delays = Some(Samples::default());
        let read = self.turn(count, pace, reader, |_| Ok(())).await?;
        read.delays.context("no delays were kept")
    }

    /// What the processes occupy when a tenth of a long turn has been read, and at its end.
    pub(crate) async fn long(&self, count: u64) -> Result<Vec<Memory>> {
        let wrapper = child_named(self.gateway, "ccpool-wrapper")?;
        let mut memory = vec![
            Memory::of("gateway", self.gateway),
            Memory::of("wrapper", wrapper),
        ];
        let mut early = false;
        self.turn(count, LONG_PACE, TurnReader::default(), |reader| {
            if !early && reader.deltas >= count / 10 {
                early = true;
                memory.iter_mut().try_for_each(Memory::note_early)?;
            }
            Ok(())
        })
        .await?;
        memory.iter_mut().try_for_each(Memory::note_end)?;
        Ok(memory)
    }

    async fn turn(
        &self,
        count: u64,
        pace: u64,
        mut reader: TurnReader,
        mut look: impl FnMut(&TurnReader) -> Result<()>,
    ) -> Result<TurnReader> {
        let body = json!({"prompt": format!("count={count} pace={pace}")}).to_string();
        let address = self.base.trim_start_matches("http://");
        let (host, prefix) = address.split_once('/').context("a base without a path")?;
        let request = format!(
            "POST /{prefix}/sessions/{SESSION}/turns HTTP/1.1\r\nhost: {host}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let read = async {
            let mut socket = TcpStream::connect(host).await?;
            socket.write_all(request.as_bytes()).await?;
            let mut buffer = vec![0; READ];
            loop {
                let length = socket.read(&mut buffer).await?;
                if length == 0 {
                    return anyhow::Ok(());
                }
                reader.feed(&buffer[..length])?;
                look(&reader)?;
            }
        };
        tokio::time::timeout(TURN, read)
            .await
            .context("a turn did not end in time")??;
        ensure!(reader.completed, "a turn did not complete");
        if reader.deltas != count {
            bail!("{} of {count} deltas arrived", reader.deltas);
        }
        Ok(reader)
    }
}

/// The token in the file that `--mcp-config` of a process names.
fn token_of(process: &Path) -> Option<String> {
    let arguments = std::fs::read_to_string(process.join("cmdline")).ok()?;
    let mut arguments = arguments.split('\0');
    arguments.find(|argument| *argument == "--mcp-config")?;
    let file = arguments.next()?;
    let config: Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    let mut servers = config["mcpServers"].as_object()?.values();
    let header = servers.next()?["headers"]["Authorization"].as_str()?;
    Some(header.strip_prefix("Bearer ")?.to_owned())
}

/// A gateway that was started.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) client: Client,
    pub(crate) redis_url: String,
    pub(crate) pid: u32,
    /// Its configuration file, for the CLI.
    pub(crate) configuration: PathBuf,
}

/// Starts `ccpool serve` on the process runtime with this `claude`, and waits until it is ready.
/// `more` goes on top of the configuration.
pub(crate) async fn serve(
    arguments: &Arguments,
    name: &str,
    claude: &Path,
    model: Option<&str>,
    more: Value,
    site: &mut Site,
) -> Result<Running> {
    let data = site.folder(name)?;
    let configuration = site.path(&format!("{name}.yaml"));
    let mut text = json!({
        "runtime": "process",
        "pool": {"minWarm": 1, "maxTotal": 2, "claimTimeoutMs": 30_000},
        "redis": {"url": "embedded"},
        "claude": {"path": claude},
        "http": {"listen": "127.0.0.1:0"},
        "tools": {"callsPerSecond": 100_000},
        "dataDir": data,
    });
    for (section, more) in more.as_object().into_iter().flatten() {
        for (option, value) in more.as_object().into_iter().flatten() {
            text[section][option] = value.clone();
        }
    }
    // JSON is YAML.
    std::fs::write(&configuration, text.to_string())?;
    let mut command = Command::new(&arguments.ccpool);
    command
        .args(["serve", "--json", "--stop-timeout", "10", "--config"])
        .arg(&configuration)
        .arg("--wrapper")
        .arg(&arguments.wrapper)
        .env_clear()
        .env("PATH", crate::gateway::path_with(&arguments.redis_server)?)
        .env("HOME", &data)
        .env("ANTHROPIC_API_KEY", crate::gateway::KEY)
        .env("ANTHROPIC_BASE_URL", model.unwrap_or("http://127.0.0.1:9"));
    let server = format!("ccpool-{name}");
    let pid = site.start(&server, &mut command)?;
    let line = site.first_line(&server, START).await?;
    let announced: Value = serde_json::from_str(&line)?;
    let listening = announced["listening"]
        .as_str()
        .context("ccpool did not say where it listens")?;
    let client = Client::builder().tcp_nodelay(true).no_proxy().build()?;
    let ready = async {
        let mut poll = tokio::time::interval(Duration::from_millis(50));
        loop {
            poll.tick().await;
            let answer = client.get(format!("{listening}/readyz")).send().await?;
            if answer.status().is_success() {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(START, ready)
        .await
        .context("no container became warm in time")??;
    Ok(Running {
        base: format!("{listening}/api/docker-cc"),
        client,
        redis_url: crate::gateway::embedded_redis(&data, pid)?,
        pid,
        configuration,
    })
}
