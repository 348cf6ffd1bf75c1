use ccpool::config::{HttpUrl, SearchProvider, Secret};
use ccpool_outbound::Outgoing;
use http::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use url::Url;

use super::error::SearchError;
use super::hit::Hit;
use super::provider::{Provider, Query, bearer, endpoint, failure, get};

/// An instance of SearXNG, <https://docs.searxng.org/dev/search_api.html>: a GET of `/search` with `q`,
/// `format=json` (403 where the instance does not have that format) and `time_range`; results in
/// `results`. How many there are is up to the instance.
#[derive(Debug)]
pub(super) struct Searxng {
    url: Url,
    key: Option<Secret>,
}

impl Searxng {
    pub(super) fn new(base: &HttpUrl, key: Option<Secret>) -> Self {
        let url = endpoint(Some(base), "", "/search");
        Self { url, key }
    }
}

impl Provider for Searxng {
    fn name(&self) -> SearchProvider {
        SearchProvider::Searxng
    }

    fn request(&self, query: &Query<'_>) -> Outgoing {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("q", query.words)
            .append_pair("format", "json");
        if let Some(freshness) = query.freshness {
            url.query_pairs_mut()
                .append_pair("time_range", freshness.as_str());
        }
        get(url, bearer(self.key.as_ref()))
    }

    fn hits(&self, body: &[u8]) -> Result<Vec<Hit>, serde_json::Error> {
        let found: Found = serde_json::from_slice(body)?;
        Ok(found
            .results
            .into_iter()
            .filter_map(|result| {
                let date = result.published_date.as_deref();
                let date = date.map(|date| date.split('T').next().unwrap_or_default());
                let snippet = result.content.unwrap_or_default();
                Hit::of(&result.title, &result.url, &snippet, date)
            })
            .collect())
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, _: &[u8]) -> SearchError {
        if status == StatusCode::FORBIDDEN {
            SearchError::NoJson
        } else {
            failure(self.name(), status, headers)
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
    #[serde(rename = "publishedDate")]
    published_date: Option<String>,
}
