use ccpool::config::{HttpUrl, SearchProvider, Secret};
use ccpool_outbound::Outgoing;
use http::{HeaderName, StatusCode, header::HeaderMap};
use serde::Deserialize;
use url::Url;

use super::error::SearchError;
use super::hit::Hit;
use super::provider::{Freshness, Provider, Query, endpoint, failure, get, headers, seconds};

/// Brave Search, <https://api-dashboard.search.brave.com/api-reference/web/search/get>: a GET with `q`
/// (at most 400 characters and 50 words), `count` (1 to 20) and `freshness` (`pd`, `pw`, `pm`, `py`),
/// the key in `X-Subscription-Token`, results in `web.results`. How long to wait after a 429 is told by
/// `X-RateLimit-Reset`, whose first number is that of the shortest window.
#[derive(Debug)]
pub(super) struct Brave {
    url: Url,
    key: Secret,
}

impl Brave {
    pub(super) fn new(key: Secret, base: Option<&HttpUrl>) -> Self {
        let url = endpoint(base, "https://api.search.brave.com", "/res/v1/web/search");
        Self { url, key }
    }
}

impl Provider for Brave {
    fn name(&self) -> SearchProvider {
        SearchProvider::Brave
    }

    fn request(&self, query: &Query<'_>) -> Outgoing {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("q", query.words)
            .append_pair("count", &query.count.to_string())
            .append_pair("result_filter", "web")
            .append_pair("text_decorations", "false");
        if let Some(freshness) = query.freshness {
            let code = match freshness {
                Freshness::Day => "pd",
                Freshness::Week => "pw",
                Freshness::Month => "pm",
                Freshness::Year => "py",
            };
            url.query_pairs_mut().append_pair("freshness", code);
        }
        let token = HeaderName::from_static("x-subscription-token");
        get(url, headers(token, Some(self.key.expose())))
    }

    fn hits(&self, body: &[u8]) -> Result<Vec<Hit>, serde_json::Error> {
        let found: Found = serde_json::from_slice(body)?;
        // Without results there is no `web`.
        let results = found.web.unwrap_or_default().results.into_iter();
        Ok(results
            .filter_map(|result| {
                let date = result.page_age.as_deref();
                // A moment to the second says no more than its day.
                let date = date.map(|date| date.split('T').next().unwrap_or_default());
                let snippet = unescaped(&result.description.unwrap_or_default());
                Hit::of(&unescaped(&result.title), &result.url, &snippet, date)
            })
            .collect())
    }

    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SearchError {
        let provider = self.name();
        match failure(provider, status, headers) {
            // An invalid key is answered as an invalid request, with a code that says so.
            SearchError::Rejected { .. } if is_about_the_key(body) => SearchError::Key { provider },
            SearchError::Limited {
                retry_after: None, ..
            } => SearchError::Limited {
                provider,
                retry_after: seconds(headers.get("x-ratelimit-reset")),
            },
            failure => failure,
        }
    }
}

fn is_about_the_key(body: &[u8]) -> bool {
    let failed: Result<Failed, _> = serde_json::from_slice(body);
    failed.is_ok_and(|failed| failed.error.code.starts_with("SUBSCRIPTION_TOKEN"))
}

/// Titles and descriptions hold entities.
fn unescaped(text: &str) -> String {
    const ENTITIES: [(&str, &str); 7] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    let mut text = text.to_owned();
    for (entity, letter) in ENTITIES {
        text = text.replace(entity, letter);
    }
    text
}

#[derive(Deserialize)]
struct Found {
    web: Option<Web>,
}

#[derive(Default, Deserialize)]
struct Web {
    #[serde(default)]
    results: Vec<WebResult>,
}

#[derive(Deserialize)]
struct WebResult {
    #[serde(default)]
    title: String,
    #[serde(default)]
    url: String,
    description: Option<String>,
    page_age: Option<String>,
}

#[derive(Deserialize)]
struct Failed {
    error: Cause,
}

#[derive(Deserialize)]
struct Cause {
    code: String,
}
