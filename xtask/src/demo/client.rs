use std::io::BufReader;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, BodyReader};

use super::sse::SseReader;

/// For everything but a turn and a claim.
const SHORT: Duration = Duration::from_secs(30);
/// The gateway waits for a container as long as its configuration says, and then for claude.
const CLAIM: Duration = Duration::from_secs(60);
/// For a whole turn, its answer included.
const TURN: Duration = Duration::from_secs(180);

/// The gateway's HTTP interface, as far as this needs it.
#[derive(Debug)]
pub(crate) struct GatewayClient {
    agent: Agent,
    base: String,
}

/// A claimed session.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claim {
    /// Its name.
    pub(crate) session: String,
    /// What it was bound to.
    pub(crate) container: String,
    /// What the claim took, by the gateway's clock.
    pub(crate) claim_ms: f64,
    /// No container was warm at first.
    pub(crate) waited: bool,
}

/// The pool at one time.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PoolView {
    /// Every container.
    pub(crate) containers: Vec<PoolContainer>,
    /// Containers that failed lately.
    pub(crate) failures: Vec<PoolFailure>,
}

/// One container, in the gateway's words.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PoolContainer {
    /// Its id.
    pub(crate) container: String,
    /// Its name in `docker ps`.
    pub(crate) name: String,
    /// `creating`, `booting`, `warm`, …
    pub(crate) state: String,
    /// Since it was asked for.
    pub(crate) age_ms: u64,
}

/// One container that failed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PoolFailure {
    /// Which.
    pub(crate) container: String,
    /// Why.
    pub(crate) reason: String,
    /// What it printed last.
    pub(crate) log_tail: Vec<String>,
}

impl PoolView {
    /// The ids of those that can be claimed.
    pub(crate) fn warm(&self) -> Vec<&str> {
        self.containers
            .iter()
            .filter(|container| container.state == "warm")
            .map(|container| container.container.as_str())
            .collect()
    }
}

/// A turn's events as they come.
pub(crate) type Events = SseReader<BufReader<BodyReader<'static>>>;

impl GatewayClient {
    /// Of the gateway at `base`, as `http://127.0.0.1:18789`.
    pub(crate) fn new(base: String) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The gateway is on this machine, whatever the environment says of proxies.
            .proxy(None)
            .build();
        Self {
            agent: config.new_agent(),
            base,
        }
    }

    /// `GET /api/docker-cc/pool`.
    pub(crate) fn pool(&self) -> Result<PoolView> {
        self.get("/api/docker-cc/pool")
    }

    /// `POST /api/docker-cc/sessions`.
    pub(crate) fn claim(&self, agent: &str) -> Result<Claim> {
        let body = json!({ "agent": agent });
        json_of(self.post("/api/docker-cc/sessions", &body, CLAIM)?)
    }

    /// `POST /api/docker-cc/sessions/{id}/turns`.
    pub(crate) fn send(&self, session: &str, prompt: &str) -> Result<Events> {
        let body = json!({ "prompt": prompt });
        let path = format!("/api/docker-cc/sessions/{session}/turns");
        let response = accepted(self.post(&path, &body, TURN)?)?;
        let body = response.into_body().into_reader();
        Ok(SseReader::new(BufReader::new(body)))
    }

    /// The container that serves a session, from `GET /api/docker-cc/sessions/{id}`.
    pub(crate) fn container_of(&self, session: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Session {
            container: Option<String>,
        }
        let session: Session = self.get(&format!("/api/docker-cc/sessions/{session}"))?;
        Ok(session.container)
    }

    /// `DELETE /api/docker-cc/sessions/{id}`.
    pub(crate) fn end(&self, session: &str) -> Result<()> {
        let url = format!("{}/api/docker-cc/sessions/{session}", self.base);
        let request = self.agent.delete(&url).config().timeout_global(Some(SHORT));
        accepted(request.build().call().context("the gateway")?)?;
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.get(&url).config().timeout_global(Some(SHORT));
        json_of(request.build().call().context("the gateway")?)
    }

    fn post(&self, path: &str, body: &Value, deadline: Duration) -> Result<Response<Body>> {
        let url = format!("{}{path}", self.base);
        let request = self
            .agent
            .post(&url)
            .config()
            .timeout_global(Some(deadline));
        request.build().send_json(body).context("the gateway")
    }
}

fn json_of<T: DeserializeOwned>(response: Response<Body>) -> Result<T> {
    accepted(response)?
        .into_body()
        .read_json()
        .context("the gateway's answer is not what was expected")
}

/// Refusals are problems, which say what is wrong and what mends it.
fn accepted(response: Response<Body>) -> Result<Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value = response.into_body().read_json().unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("without a reason");
    match problem["mend"].as_str() {
        Some(mend) => bail!("the gateway answers {status}: {detail}; {mend}"),
        None => bail!("the gateway answers {status}: {detail}"),
    }
}
