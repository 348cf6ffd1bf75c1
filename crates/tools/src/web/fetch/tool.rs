use std::sync::Arc;

use ccpool::config::{self, Config};
use ccpool_outbound::{Network, System, Tls};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::FetchError;
use super::follow::follow;
use super::location::given;
use super::read::{Document, read};
use super::shown::shown;
use crate::{Answer, Call, Effect, Refusal, Tool};

/// Characters of one answer.
const DEFAULT_CHARS: usize = 20_000;
const MOST_CHARS: usize = 50_000;
/// Fetches under way at one time in this gateway; each may hold a page in memory.
const FETCHES: usize = 32;
/// Pages that are turned into Markdown at one time; each takes a thread, a hostile one for long.
const CONVERTERS: usize = 2;

/// `web_fetch`.
#[derive(Debug)]
pub(crate) struct WebFetch {
    config: config::WebFetch,
    network: Arc<dyn Network>,
    tls: Tls,
    fetches: Semaphore,
    converters: Arc<Semaphore>,
}

impl WebFetch {
    pub(crate) fn new(config: &Config) -> Self {
        let config = config.tools.web_fetch.clone();
        Self::over(config, Arc::new(System), Tls::default())
    }

    pub(super) fn over(config: config::WebFetch, network: Arc<dyn Network>, tls: Tls) -> Self {
        Self {
            config,
            network,
            tls,
            fetches: Semaphore::new(FETCHES),
            converters: Arc::new(Semaphore::new(CONVERTERS)),
        }
    }

    pub(super) async fn fetch(&self, page: &Page) -> Result<String, FetchError> {
        let url = given(&page.url).map_err(FetchError::Location)?;
        let limit = self.config.timeout;
        let document = timeout(limit, self.document(url, page.raw.unwrap_or(false)))
            .await
            .map_err(|_| FetchError::Timeout(limit))??;
        let max_chars = page.max_chars.unwrap_or(DEFAULT_CHARS).clamp(1, MOST_CHARS);
        shown(&document, page.offset.unwrap_or(0), max_chars)
    }

    async fn document(&self, url: url::Url, raw: bool) -> Result<Document, FetchError> {
        // The semaphores are never closed; the permit is given back at the end.
        let _permit = self.fetches.acquire().await;
        let (url, answer) = follow(&*self.network, &self.tls, &self.config, url).await?;
        let limit = usize::try_from(self.config.max_bytes).unwrap_or(usize::MAX);
        read(url, answer, limit, raw, &self.converters).await
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Page {
    /// The whole URL, http or https.
    pub(super) url: String,
    /// How many characters to give at most, 1 to 50000; 20000 when left out.
    #[schemars(range(min = 1, max = 50_000))]
    pub(super) max_chars: Option<usize>,
    /// The character to begin with, to read on in a long page; 0 when left out.
    pub(super) offset: Option<usize>,
    /// Give the text as it is, HTML as HTML, instead of Markdown.
    pub(super) raw: Option<bool>,
}

impl Tool for WebFetch {
    type Arguments = Page;
    const NAME: &'static str = "web_fetch";
    const DESCRIPTION: &'static str = "Read a page or text file from the public web. HTML becomes \
        Markdown without menus and advertisements; plain text, JSON and XML are given as they are. Long \
        texts come in parts: the answer says with which offset to go on.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, page: Page, _: Call) -> Result<Answer, Refusal> {
        // Text alone: some clients show their model nothing but data where there is any.
        Ok(Answer::text(self.fetch(&page).await?))
    }
}
