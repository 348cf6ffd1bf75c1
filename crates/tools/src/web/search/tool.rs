use std::time::Duration;

use ccpool::config::{Config, SearchProvider};
use ccpool_outbound::{Outgoing, Tls, ask};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::error::SearchError;
use super::hit::{Hit, listed};
use super::provider::{Freshness, Provider, Query, provider};
use crate::web::plain::NOTICE;
use crate::{Answer, Call, Effect, Refusal, Tool};

/// Brave takes no longer query.
const LONGEST_QUERY: usize = 400;
/// More of an answer is not read.
const ANSWER_BYTES: usize = 4 << 20;

/// `web_search`.
#[derive(Debug)]
pub(crate) struct WebSearch {
    provider: Option<Box<dyn Provider>>,
    timeout: Duration,
    max_results: u32,
    tls: Tls,
}

impl WebSearch {
    pub(crate) fn new(config: &Config) -> Self {
        let config = &config.tools.web_search;
        Self {
            provider: config.engine.as_ref().map(provider),
            timeout: config.timeout,
            max_results: config.max_results,
            tls: Tls::default(),
        }
    }

    pub(super) async fn search(&self, search: &Search) -> Result<Vec<Hit>, SearchError> {
        let provider = self.provider.as_deref().ok_or(SearchError::NoProvider)?;
        let words = search.query.trim();
        if words.is_empty() || words.chars().count() > LONGEST_QUERY {
            return Err(SearchError::Query(LONGEST_QUERY));
        }
        let most = self.max_results;
        let query = Query {
            words,
            count: search.count.unwrap_or(most).clamp(1, most),
            freshness: search.freshness,
        };
        let (name, limit) = (provider.name(), self.timeout);
        let asked = self.ask(name, provider.request(&query));
        let answer = timeout(limit, asked)
            .await
            .map_err(|_| SearchError::Timeout {
                provider: name,
                limit,
            })??;
        let (status, headers, body) = answer;
        if status != StatusCode::OK {
            return Err(provider.failure(status, &headers, &body));
        }
        // What cannot be parsed may hold the key, and the parser's message would quote it.
        let unreadable = SearchError::Unreadable { provider: name };
        let mut hits = provider.hits(&body).map_err(|_| unreadable)?;
        hits.truncate(usize::try_from(query.count).unwrap_or(usize::MAX));
        Ok(hits)
    }

    /// The configured address may be any, also one of an inner network. A redirect is not followed: it
    /// would take the key to somebody else.
    async fn ask(
        &self,
        provider: SearchProvider,
        request: Outgoing,
    ) -> Result<(StatusCode, http::HeaderMap, Vec<u8>), SearchError> {
        let unreached = |source| SearchError::Unreached { provider, source };
        let answer = ask(&self.tls, request).await.map_err(unreached)?;
        let (status, headers) = (answer.head.status, answer.head.headers.clone());
        let (body, is_cut) = answer.read(ANSWER_BYTES).await.map_err(unreached)?;
        if is_cut {
            return Err(SearchError::Unreadable { provider });
        }
        Ok((status, headers, body))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// What to search for, at most 400 characters.
    pub(super) query: String,
    /// How many results at most, 1 to 20; the gateway may give fewer.
    #[schemars(range(min = 1, max = 20))]
    pub(super) count: Option<u32>,
    /// Only pages that are at most this old.
    pub(super) freshness: Option<Freshness>,
}

impl Tool for WebSearch {
    type Arguments = Search;
    const NAME: &'static str = "web_search";
    const DESCRIPTION: &'static str = "Search the web: a numbered list of pages with title, URL and a \
        few words of each. Use `web_fetch` to read one.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, search: Search, _: Call) -> Result<Answer, Refusal> {
        let hits = self.search(&search).await.inspect_err(|error| {
            tracing::info!(
                error = error as &dyn std::error::Error,
                "a search gave nothing"
            );
        })?;
        let text = listed(&search.query, &hits);
        // Some clients show their model the data alone.
        let data = json!({"notice": NOTICE, "results": hits});
        Ok(Answer::with_data(text, data))
    }
}
