use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use ccpool::provider::{Conversation, Provider, ProviderHealth, Refused, Reply};
use ccpool::{FailureKind, HealthStatus, TurnId};
use ccpool_outbound::{ExchangeError, Incoming, Outgoing, Tls, ask, retry_after};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use http::{Method, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::Answer;
use super::listening::{Limits, Listening};
use super::mishap;
use super::request;
use super::settings::{AnthropicSettings, Credential};

/// What its models' names begin with.
pub(super) const NAME: &str = "anthropic";

/// What the CLI 2.1.329 makes of its aliases.
const ALIASES: [(&str, &str); 3] = [
    ("opus", "claude-opus-5-5"),
    ("sonnet", "claude-sonnet-5-5"),
    ("haiku", "claude-haiku-5-5"),
];

/// The version of the API that is spoken.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("anthropic-version"),
    HeaderValue::from_static("2023-06-01"),
);

/// Of an error's body, enough to find what it says.
const ERROR_BYTES: usize = 64 << 10;
/// How long an error's body may take.
const ERROR_TIME: Duration = Duration::from_secs(5);

const NO_CREDENTIAL: &str = "there is no credential for the Messages API; set ANTHROPIC_API_KEY or \
                             ANTHROPIC_AUTH_TOKEN for the gateway";

/// Answers by the Messages API.
#[derive(Debug, Clone)]
pub struct Anthropic {
    settings: Arc<AnthropicSettings>,
    tls: Arc<Tls>,
}

impl Anthropic {
    /// Connects to nothing yet.
    pub fn new(settings: AnthropicSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            tls: Arc::new(Tls::default()),
        }
    }

    /// The model's full id.
    fn model(&self, asked: Option<&str>) -> Result<String, Refused> {
        let default = self.settings.models.first().map(String::as_str);
        let asked = asked.or(default).ok_or_else(|| {
            let message = "name a model, such as anthropic/claude-sonnet-5-5";
            Refused::new(FailureKind::InvalidRequest, message)
        })?;
        let own = asked.strip_prefix("anthropic/").unwrap_or(asked);
        let known = ALIASES.into_iter().find(|(alias, _)| *alias == own);
        Ok(known.map_or(own, |(_, id)| id).to_owned())
    }

    fn outgoing(&self, credential: &Credential, body: Bytes) -> Result<Outgoing, Refused> {
        let mut headers: HeaderMap = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            (
                USER_AGENT,
                HeaderValue::from_static(concat!("ccpool/", env!("CARGO_PKG_VERSION"))),
            ),
            VERSION,
        ]
        .into_iter()
        .collect();
        if !credential.add_to(&mut headers) {
            let message = "the credential for the Messages API has letters that no credential has";
            return Err(Refused::new(FailureKind::Auth, message));
        }
        Ok(Outgoing {
            method: Method::POST,
            url: self.settings.url.clone(),
            headers,
            body,
        })
    }

    fn unreachable(&self, error: &ExchangeError) -> Refused {
        let host = self.settings.url.host_str().unwrap_or_default();
        let mut message = format!("the Messages API at {host} cannot be reached: {error}");
        if let Some(cause) = error.source() {
            message.push_str(&format!(" ({cause})"));
        }
        Refused::new(FailureKind::Unavailable, message)
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn name(&self) -> &str {
        NAME
    }

    fn models(&self) -> Vec<String> {
        let aliases = ALIASES.map(|(alias, _)| alias.to_owned());
        let mut models = self.settings.models.clone();
        models.extend(aliases);
        let mut seen = Vec::new();
        models.retain(|model| {
            let is_new = !seen.contains(model);
            seen.push(model.clone());
            is_new
        });
        models
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        let AnthropicSettings {
            credential,
            max_tokens,
            stall,
            longest,
            ..
        } = &*self.settings;
        let credential = credential
            .as_ref()
            .ok_or_else(|| Refused::new(FailureKind::Auth, NO_CREDENTIAL))?;
        let model = self.model(conversation.model.as_deref())?;
        let body = request::body(&conversation, &model, *max_tokens);
        let outgoing = self.outgoing(credential, Bytes::from(body.to_string()))?;
        let limits = Limits {
            began: Instant::now(),
            stall: *stall,
            longest: *longest,
        };
        let asked = timeout_at(limits.until(limits.began), ask(&self.tls, outgoing)).await;
        let incoming = asked
            .map_err(|_| limits.too_long(limits.began).into_refused())?
            .map_err(|error| self.unreachable(&error))?;
        let incoming = accepted(incoming).await?;
        let answer = Answer::to(&conversation);
        let turn = TurnId::new(format!("t-{:016x}", rand::random::<u64>()))
            .expect("t- and hex is a turn id");
        Ok(Reply {
            provider: NAME.to_owned(),
            model,
            session: None,
            turn: turn.clone(),
            passed: Vec::new(),
            events: Listening::new(incoming, answer, turn, limits).into_events(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        match &self.settings.credential {
            Some(_) => ProviderHealth {
                status: HealthStatus::Ok,
                reasons: Vec::new(),
            },
            None => ProviderHealth {
                status: HealthStatus::Unavailable,
                reasons: vec![NO_CREDENTIAL.to_owned()],
            },
        }
    }
}

/// The answer, if it is a stream of events.
async fn accepted(incoming: Incoming) -> Result<Incoming, Refused> {
    let status = incoming.head.status;
    let header = |name| incoming.head.headers.get(name)?.to_str().ok();
    if status != StatusCode::OK {
        let wait = header(RETRY_AFTER).and_then(|asks| retry_after(asks, SystemTime::now()));
        // Half of what it says is better than nothing.
        let said = timeout(ERROR_TIME, incoming.read(ERROR_BYTES)).await;
        let (body, _) = said.ok().and_then(Result::ok).unwrap_or_default();
        return Err(mishap::refusal(status.as_u16(), &body, wait));
    }
    let kind = header(CONTENT_TYPE).unwrap_or_default();
    if kind.trim_start().starts_with("text/event-stream") {
        return Ok(incoming);
    }
    let message = "what answers is not the Messages API: no stream of events came back; correct \
                   `anthropic.baseUrl` or ANTHROPIC_BASE_URL";
    Err(Refused::new(FailureKind::Unavailable, message))
}
