//! `tools.webSearch`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::address::HttpUrl;
use crate::config::choice::SearchProvider;
use crate::config::given::{Complaint, Given};
use crate::config::key_path::KeyPath;
use crate::config::names::Token;
use crate::config::secret::Secret;
use crate::config::show::millis;
use crate::config::units::{Count, Millis};
use crate::config::validate::Check;

/// Searching the web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSearch {
    /// Who is asked; nobody when it is `None`.
    pub engine: Option<SearchEngine>,
    /// How long one search may take.
    pub timeout: Duration,
    /// The most results that one search gives.
    pub max_results: u32,
}

/// Who searches, and what that takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchEngine {
    /// Brave Search.
    Brave {
        /// Its key.
        api_key: Secret,
        /// Where it answers, instead of its own address.
        base_url: Option<HttpUrl>,
    },
    /// An instance of SearXNG.
    Searxng {
        /// Where it answers.
        base_url: HttpUrl,
        /// What it is shown as a bearer token, where a proxy before it wants one.
        api_key: Option<Secret>,
    },
    /// Tavily.
    Tavily {
        /// Its key.
        api_key: Secret,
        /// Where it answers, instead of its own address.
        base_url: Option<HttpUrl>,
    },
}

/// Searching the web.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawWebSearch {
    /// Who is asked. Without one `web_search` says how to set it.
    provider: Given<SearchProvider>,
    /// The provider's key. Brave and Tavily need one.
    api_key: Given<Token>,
    /// Where the provider answers. SearXNG needs it; the others have an address of their own.
    base_url: Given<HttpUrl>,
    /// How long one search may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
    /// The most results that one search gives.
    max_results: Given<Count<1, 20>>,
}

impl Default for RawWebSearch {
    fn default() -> Self {
        Self {
            provider: Given::unset(),
            api_key: Given::unset(),
            base_url: Given::unset(),
            timeout_ms: Given::of(15_000),
            max_results: Given::of(8),
        }
    }
}

impl Check<'_> {
    pub(super) fn web_search(&mut self, at: &KeyPath, raw: &RawWebSearch) -> WebSearch {
        let RawWebSearch {
            provider,
            api_key,
            base_url,
            timeout_ms,
            max_results,
        } = raw;
        let default = RawWebSearch::default();
        let (key_path, url_path) = (at.key("apiKey"), at.key("baseUrl"));
        let provider = self.optional(&at.key("provider"), provider);
        let api_key = self.optional(&key_path, api_key).map(|token| token.0);
        let base_url = self.optional(&url_path, base_url);
        let is_sound = self.is_sound(&[&key_path, &url_path]);
        let engine = provider.and_then(|provider| {
            let engine = match (provider, api_key, base_url) {
                (SearchProvider::Brave, Some(api_key), base_url) => {
                    Ok(SearchEngine::Brave { api_key, base_url })
                }
                (SearchProvider::Tavily, Some(api_key), base_url) => {
                    Ok(SearchEngine::Tavily { api_key, base_url })
                }
                (SearchProvider::Searxng, api_key, Some(base_url)) => {
                    Ok(SearchEngine::Searxng { base_url, api_key })
                }
                (SearchProvider::Brave | SearchProvider::Tavily, None, _) => Err((
                    &key_path,
                    "set it to the key that the provider gave you (CCPOOL_TOOLS__WEBSEARCH__APIKEY)",
                )),
                (SearchProvider::Searxng, _, None) => {
                    Err((&url_path, "set it to your instance, http://host:port"))
                }
            };
            engine
                .map_err(|(path, mend)| {
                    if is_sound {
                        let what = format!("is missing, and `{provider}` needs it");
                        self.complain(path, Complaint::new(what, mend));
                    }
                })
                .ok()
        });
        WebSearch {
            engine,
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            max_results: self
                .value(&at.key("maxResults"), max_results, &default.max_results)
                .0,
        }
    }
}

impl WebSearch {
    pub(super) fn shown(&self) -> Value {
        let (provider, api_key, base_url) = match &self.engine {
            None => (None, None, None),
            Some(SearchEngine::Brave { api_key, base_url }) => (
                Some(SearchProvider::Brave),
                Some(api_key),
                base_url.as_ref(),
            ),
            Some(SearchEngine::Searxng { base_url, api_key }) => (
                Some(SearchProvider::Searxng),
                api_key.as_ref(),
                Some(base_url),
            ),
            Some(SearchEngine::Tavily { api_key, base_url }) => (
                Some(SearchProvider::Tavily),
                Some(api_key),
                base_url.as_ref(),
            ),
        };
        json!({
            "provider": provider.map(SearchProvider::as_str),
            "apiKey": api_key.map(ToString::to_string),
            "baseUrl": base_url.map(HttpUrl::as_str),
            "timeoutMs": millis(self.timeout),
            "maxResults": self.max_results,
        })
    }
}
