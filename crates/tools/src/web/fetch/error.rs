use std::time::Duration;

use ccpool_outbound::ExchangeError;
use http::StatusCode;

use super::location::LocationError;
use crate::Refusal;

/// Why a page was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the URL cannot be fetched")]
    Location(#[source] LocationError),
    #[error("a redirect leads where none may lead")]
    Redirect(#[source] LocationError),
    #[error("more than {0} redirects")]
    TooManyRedirects(u32),
    #[error("the name `{host}` has no address")]
    Unknown { host: String },
    #[error("`{host}` is not public")]
    NotPublic { host: String },
    #[error("nothing came back from `{host}`")]
    Exchange { host: String, source: ExchangeError },
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("the body is not packed as its header says")]
    Packing,
    #[error("no text: {essence}")]
    Binary { essence: String, bytes: Option<u64> },
    #[error("there is nothing at character {offset} of {total}")]
    BeyondEnd { offset: usize, total: usize },
    #[error("not within {0:?}")]
    Timeout(Duration),
    #[error("the page could not be turned into Markdown")]
    Unreadable,
}

/// What the model is told: what is wrong, and what to do instead. Addresses are not named, since those
/// of an inner network are nobody's business.
impl From<FetchError> for Refusal {
    fn from(error: FetchError) -> Self {
        Refusal::new(match error {
            FetchError::Location(error) => format!(
                "That URL cannot be fetched: {error}. Pass a whole http:// or https:// URL without \
                 user and password."
            ),
            FetchError::Redirect(error) => format!(
                "The page redirects to a place that is not followed: {error}. Look for another source."
            ),
            FetchError::TooManyRedirects(most) => format!(
                "The page redirects more than {most} times, perhaps for ever. Look for another source."
            ),
            FetchError::Unknown { host } => {
                format!("There is no host `{host}`. Check the URL, or search for the right one.")
            }
            FetchError::NotPublic { host } => format!(
                "`{host}` is not on the public internet, and private addresses are not fetched. \
                 Whoever runs the gateway can allow a network in `tools.webFetch.allowNetworks`."
            ),
            FetchError::Exchange { host, source } => exchange(&host, &source),
            FetchError::Status(status) => {
                format!("The server answered {status}. {}", after(status))
            }
            FetchError::Packing => {
                "The page is compressed in a way that cannot be undone. Look for \
                another source."
                    .to_owned()
            }
            FetchError::Binary { essence, bytes } => {
                let size = bytes.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"));
                let essence = if essence.is_empty() {
                    "unknown type"
                } else {
                    &essence
                };
                format!(
                    "That is no text but a file of {essence}{size}, which cannot be shown. Look for a \
                     page that describes it, or the same as HTML or plain text."
                )
            }
            FetchError::BeyondEnd { offset, total } => format!(
                "The text has {total} characters, so there is nothing at offset {offset}. Pass an \
                 offset below {total}."
            ),
            FetchError::Timeout(limit) => format!(
                "The page was not there within {} s. Try again later, or look for another source.",
                limit.as_secs_f64()
            ),
            FetchError::Unreadable => {
                "The page could not be turned into Markdown. Pass `raw: true` to get it as it is."
                    .to_owned()
            }
        })
    }
}

fn exchange(host: &str, error: &ExchangeError) -> String {
    match error {
        ExchangeError::Url => format!("The URL of `{host}` cannot be requested. Check it."),
        ExchangeError::Connect(_) => format!(
            "`{host}` takes no connection. Check host and port, try again later, or look for another \
             source."
        ),
        ExchangeError::NoAuthorities => {
            "The gateway's host has no certificate authorities, so https \
            cannot be fetched. Whoever runs it must install the package ca-certificates."
                .to_owned()
        }
        ExchangeError::Tls(_) => format!(
            "No trusted TLS connection to `{host}` could be made; its certificate may be wrong. Look \
             for another source."
        ),
        ExchangeError::Http(_) => format!(
            "`{host}` broke off, or does not speak HTTP. Try again later, or look for another source."
        ),
    }
}

fn after(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::FORBIDDEN
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
            "The page is not for everybody. Look for another source."
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            "The page does not exist. Check the URL, or search for where it is now."
        }
        StatusCode::TOO_MANY_REQUESTS => "Wait some minutes before you ask that server again.",
        status if status.is_server_error() => {
            "The server has a problem. Try again later, or look for another source."
        }
        _ => "Look for another source.",
    }
}
