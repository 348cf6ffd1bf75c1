use ccpool::config::{HttpUrl, SearchProvider, Secret};
use ccpool_outbound::Outgoing;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::error::SearchError;
use super::hit::Hit;
use super::provider::{Provider, Query, bearer, endpoint, failure};

/// Tavily, <https://docs.tavily.com/documentation/api-reference/endpoint/search>: a POST of `query`,
/// `max_results` and `time_range` as JSON, the key as a bearer token, results in `results` with their
/// text in `content`. 432 and 433 say that a plan's or a budget's limit is reached.
#[derive(Debug)]
pub(super) struct Tavily {
    url: Url,
    key: Secret,
}

impl Tavily {
    pub(super) fn new(key: Secret, base: Option<&HttpUrl>) -> Self {
        let url = endpoint(base, "https://api.tavily.com", "/search");
        Self { url, key }
    }
}

impl Provider for Tavily {
    fn name(&self) -> SearchProvider {
        SearchProvider::Tavily
    }

    fn request(&self, query: &Query<'_>) -> Outgoing {
        let mut body = json!({
            "query": query.words,
            "max_results": query.count,
            "search_depth": "basic",
        });
        if let Some(freshness) = query.freshness {
            body["time_range"] = json!(freshness.as_str());
        }
        let mut headers = bearer(Some(&self.key));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Outgoing {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: body.to_string().into(),
        }
    }

    fn hits(&self, body: &[u8]) -> Result<Vec<Hit>, serde_json::Error> {
        let found: Found = serde_json::from_slice(body)?;
        Ok(found
            .results
            .into_iter()
            .filter_map(|result| {
                let snippet = result.content.unwrap_or_default();
                let date = result.published_date.as_deref();
                Hit::of(&result.title, &result.url, &snippet, date)
            })
            .collect())
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, _: &[u8]) -> SearchError {
        let provider = self.name();
        match status.as_u16() {
            432 | 433 => SearchError::UsedUp { provider },
            _ => failure(provider, status, headers),
        }
    }
}

#[derive(Deserialize)]
struct Found {
    results: Vec<SearchResult>,
}

#[derive(Deserialize)]
struct SearchResult {
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: String,
    content: Option<String>,
    published_date: Option<String>,
}
