use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use ccpool::config::{HttpUrl, SearchEngine, SearchProvider, Secret};
use ccpool_outbound::Outgoing;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::brave::Brave;
use super::error::SearchError;
use super::hit::Hit;
use super::searxng::Searxng;
use super::tavily::Tavily;

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) words: &'a str,
    /// How many results are wanted, 1 to 20.
    pub(super) count: u32,
    pub(super) freshness: Option<Freshness>,
}

/// How old a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Freshness {
    Day,
    Week,
    Month,
    Year,
}

impl Freshness {
    /// As SearXNG and Tavily call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Freshness::Day => "day",
            Freshness::Week => "week",
            Freshness::Month => "month",
            Freshness::Year => "year",
        }
    }
}

/// A search engine's API: what to send it, and how to read what it answers. It does nothing itself.
pub(super) trait Provider: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn name(&self) -> SearchProvider;

    /// The request for a search.
    fn request(&self, query: &Query<'_>) -> Outgoing;

    /// The results in the body of an answer with status 200.
    ///
    /// # Errors
    /// It is not what the API's documentation says.
    fn hits(&self, body: &[u8]) -> Result<Vec<Hit>, serde_json::Error>;

    /// What an answer with another status means; [`failure`] knows what all have in common.
    fn failure(&self, status: StatusCode, headers: &HeaderMap, _body: &[u8]) -> SearchError {
        failure(self.name(), status, headers)
    }
}

/// The configured provider.
pub(super) fn provider(engine: &SearchEngine) -> Box<dyn Provider> {
    match engine.clone() {
        SearchEngine::Brave { api_key, base_url } => {
            Box::new(Brave::new(api_key, base_url.as_ref()))
        }
        SearchEngine::Searxng { base_url, api_key } => Box::new(Searxng::new(&base_url, api_key)),
        SearchEngine::Tavily { api_key, base_url } => {
            Box::new(Tavily::new(api_key, base_url.as_ref()))
        }
    }
}

/// What statuses mean by RFC 9110 and 6585.
pub(super) fn failure(
    provider: SearchProvider,
    status: StatusCode,
    headers: &HeaderMap,
) -> SearchError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SearchError::Key { provider },
        StatusCode::PAYMENT_REQUIRED => SearchError::UsedUp { provider },
        StatusCode::TOO_MANY_REQUESTS => SearchError::Limited {
            provider,
            retry_after: seconds(headers.get(RETRY_AFTER)),
        },
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            SearchError::Rejected { provider }
        }
        status => SearchError::Status {
            provider,
            status: status.as_u16(),
        },
    }
}

/// A header's number of seconds; the first one where there are several. At most a day.
pub(super) fn seconds(header: Option<&HeaderValue>) -> Option<Duration> {
    const DAY: u64 = 24 * 3600;
    let first = header?.to_str().ok()?.split(',').next()?;
    let seconds: u64 = first.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(DAY)))
}

/// `path` below the configured base, or below the provider's own.
pub(super) fn endpoint(base: Option<&HttpUrl>, own: &str, path: &str) -> Url {
    let base = base.map_or(own, HttpUrl::as_str);
    Url::parse(&format!("{base}{path}")).expect("a checked URL stays one when a path is added")
}

/// Headers that ask for JSON, with a secret one.
pub(super) fn headers(name: http::HeaderName, secret: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(secret) = secret {
        let mut secret = HeaderValue::from_str(secret)
            .expect("a key is visible ASCII, which the configuration has checked");
        secret.set_sensitive(true);
        headers.insert(name, secret);
    }
    headers
}

/// A key as a bearer token.
pub(super) fn bearer(key: Option<&Secret>) -> HeaderMap {
    let bearer = key.map(|key| format!("Bearer {}", key.expose()));
    headers(AUTHORIZATION, bearer.as_deref())
}

/// A GET without a body.
pub(super) fn get(url: Url, headers: HeaderMap) -> Outgoing {
    Outgoing {
        method: Method::GET,
        url,
        headers,
        body: Bytes::new(),
    }
}
