use std::sync::Arc;

use ccpool_outbound::{Incoming, unpacked};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::sync::Semaphore;
use url::Url;

use super::charset::{Decoded, decoded};
use super::error::FetchError;
use super::media::{Kind, Media, is_binary, sniffed};
use super::page;

/// What was fetched, as text.
#[derive(Debug)]
pub(super) struct Document {
    /// Where it came from in the end.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    /// Its type, as the server told it; may be empty.
    pub(super) essence: String,
    pub(super) charset: &'static str,
    /// Some bytes were not valid in that charset.
    pub(super) has_errors: bool,
    /// The text is Markdown that was made of the page.
    pub(super) is_markdown: bool,
    /// The page goes on beyond what was read.
    pub(super) is_cut: bool,
    pub(super) text: String,
}

/// Reads an answer. What is no text is refused, where its header says so before its body is read.
/// `converters` are the threads that may work on pages at the same time.
pub(super) async fn read(
    url: Url,
    answer: Incoming,
    limit: usize,
    raw: bool,
    converters: &Arc<Semaphore>,
) -> Result<Document, FetchError> {
    let status = answer.head.status;
    if !status.is_success() {
        return Err(FetchError::Status(status));
    }
    let headers = &answer.head.headers;
    let header = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    let media = Media::of(header(CONTENT_TYPE));
    let encoding = header(CONTENT_ENCODING).map(|name| String::from_utf8_lossy(name).into_owned());
    if media.kind() == Some(Kind::Binary) {
        return Err(binary(&media, answer.announced_bytes()));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let (body, is_cut) = answer
        .read(limit)
        .await
        .map_err(|source| FetchError::Exchange { host, source })?;
    let fetched = Fetched {
        url,
        status,
        media,
        encoding,
        body,
        is_cut,
    };
    let permit = Arc::clone(converters).acquire_owned().await;
    let converted = tokio::task::spawn_blocking(move || {
        // Kept until the work is done, though nobody may wait for it any more.
        let _permit = permit;
        fetched.convert(limit, raw)
    });
    // No page is known that makes it panic, but it works on what strangers wrote.
    converted.await.unwrap_or(Err(FetchError::Unreadable))
}

/// An answer with its body, packed as it came.
struct Fetched {
    url: Url,
    status: StatusCode,
    media: Media,
    encoding: Option<String>,
    body: Vec<u8>,
    is_cut: bool,
}

impl Fetched {
    fn convert(self, limit: usize, raw: bool) -> Result<Document, FetchError> {
        let (body, is_cut) = unpacked(self.body, self.is_cut, self.encoding.as_deref(), limit)
            .ok_or(FetchError::Packing)?;
        let kind = self.media.kind().unwrap_or_else(|| sniffed(&body));
        if kind == Kind::Binary || is_binary(&body) {
            return Err(binary(&self.media, (!is_cut).then_some(body.len() as u64)));
        }
        let Decoded {
            text,
            charset,
            has_errors,
        } = decoded(&body, self.media.charset.as_deref(), is_cut);
        drop(body);
        let is_markdown = kind == Kind::Html && !raw;
        let (text, is_cut) = if is_markdown {
            let page = page::markdown(&text, self.url.as_str());
            (page.markdown, is_cut || page.is_cut)
        } else {
            (text, is_cut)
        };
        Ok(Document {
            url: self.url,
            status: self.status,
            essence: self.media.essence,
            charset,
            has_errors,
            is_markdown,
            is_cut,
            text,
        })
    }
}

fn binary(media: &Media, bytes: Option<u64>) -> FetchError {
    FetchError::Binary {
        essence: media.essence.clone(),
        bytes,
    }
}
