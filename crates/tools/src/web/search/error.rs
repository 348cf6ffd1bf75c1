use std::time::Duration;

use ccpool::config::SearchProvider;
use ccpool_outbound::ExchangeError;

use crate::Refusal;

/// Why a search gave nothing. No variant holds the key, or text that the provider wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error("no provider is configured")]
    NoProvider,
    #[error("the query is empty, or longer than {0} characters")]
    Query(usize),
    #[error("{provider} refuses the key")]
    Key { provider: SearchProvider },
    #[error("the instance of SearXNG gives no JSON")]
    NoJson,
    #[error("{provider} wants no more searches for now")]
    Limited {
        provider: SearchProvider,
        retry_after: Option<Duration>,
    },
    #[error("what was paid for at {provider} is used up")]
    UsedUp { provider: SearchProvider },
    #[error("{provider} does not take the query")]
    Rejected { provider: SearchProvider },
    #[error("{provider} answered {status}")]
    Status {
        provider: SearchProvider,
        status: u16,
    },
    #[error("{provider} answered what cannot be read")]
    Unreadable { provider: SearchProvider },
    #[error("{provider} was not reached")]
    Unreached {
        provider: SearchProvider,
        source: ExchangeError,
    },
    #[error("{provider} did not answer within {limit:?}")]
    Timeout {
        provider: SearchProvider,
        limit: Duration,
    },
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        Refusal::new(match error {
            SearchError::NoProvider => "The gateway has no search provider. Whoever runs it sets \
                `tools.webSearch.provider` to brave or tavily together with `tools.webSearch.apiKey`, or \
                to searxng together with `tools.webSearch.baseUrl`. Until then, use `web_fetch` for \
                pages whose URL you know."
                .to_owned(),
            SearchError::Query(most) => format!(
                "A query has 1 to {most} characters. Search with the few words that matter."
            ),
            SearchError::Key { provider } => format!(
                "The search provider {provider} refuses the gateway's key, and searching again does not \
                 help. Whoever runs the gateway must set a valid `tools.webSearch.apiKey`."
            ),
            SearchError::NoJson => "The gateway's instance of SearXNG does not give JSON, and searching \
                again does not help. Whoever runs it must add json to `search.formats` in its \
                settings.yml, and let the gateway in."
                .to_owned(),
            SearchError::Limited {
                provider,
                retry_after: Some(wait),
            } => format!(
                "The search provider {provider} wants no more searches for now. Try again in {} s, with \
                 fewer searches.",
                wait.as_secs().max(1)
            ),
            SearchError::Limited {
                provider,
                retry_after: None,
            } => format!(
                "The search provider {provider} wants no more searches for now. Try again in a minute, \
                 with fewer searches."
            ),
            SearchError::UsedUp { provider } => format!(
                "What was paid for at the search provider {provider} is used up, and searching again \
                 does not help. Whoever runs the gateway must see to that."
            ),
            SearchError::Rejected { provider } => format!(
                "The search provider {provider} does not take this query. Search with fewer and plainer \
                 words."
            ),
            SearchError::Status { provider, status } => format!(
                "The search provider {provider} answered with status {status}. Try again in a minute; if \
                 that stays so, whoever runs the gateway must check `tools.webSearch.baseUrl`."
            ),
            SearchError::Unreadable { provider } => format!(
                "The search provider {provider} answered what cannot be read. If that stays so, whoever \
                 runs the gateway must check `tools.webSearch.baseUrl`."
            ),
            SearchError::Unreached { provider, source } => match source {
                ExchangeError::NoAuthorities => "The gateway's host has no certificate authorities, so \
                    https does not work. Whoever runs it must install the package ca-certificates."
                    .to_owned(),
                ExchangeError::Url
                | ExchangeError::Connect(_)
                | ExchangeError::Tls(_)
                | ExchangeError::Http(_) => format!(
                    "The search provider {provider} cannot be reached. Try again in a minute; if that \
                     stays so, whoever runs the gateway must check `tools.webSearch.baseUrl`."
                ),
            },
            SearchError::Timeout { provider, limit } => format!(
                "The search provider {provider} did not answer within {} s. Try again in a minute.",
                limit.as_secs_f64()
            ),
        })
    }
}
