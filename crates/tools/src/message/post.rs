//! The channels of the configuration: each message is one HTTP request.

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ccpool::config::{self, ChannelKind, Messages};
use ccpool_outbound::{ExchangeError, Outgoing, Tls, ask, retry_after};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::body::body;
use super::channel::{Channel, Message};
use super::retry::{Retries, retry_after_in};
use super::signature::{ID, SIGNATURE, TIMESTAMP, sign};
use crate::Refusal;

/// Of an answer's body, enough to find how long it asks to wait.
const BEGINNING: usize = 16_384;

/// A channel of the configuration.
pub(super) struct Post {
    channel: config::Channel,
    timeout: Duration,
    retries: u32,
    tls: Tls,
}

impl Post {
    pub(super) fn new(channel: &config::Channel, settings: &Messages) -> Self {
        Self {
            channel: channel.clone(),
            timeout: settings.timeout,
            retries: settings.retries,
            tls: Tls::default(),
        }
    }

    /// Sends it once.
    async fn attempt(&self, message: &Message, body: &Bytes) -> Outcome {
        let Ok(url) = Url::parse(self.channel.url.expose()) else {
            return Outcome::Refused(Refused::Unusable);
        };
        let Some(headers) = self.headers(message, body) else {
            return Outcome::Refused(Refused::Unusable);
        };
        let sent = self.sent(Outgoing {
            method: Method::POST,
            url,
            headers,
            body: body.clone(),
        });
        match tokio::time::timeout(self.timeout, sent).await {
            Ok(Ok(answered)) => judge(&answered),
            Ok(Err(error)) => {
                let cause = error.source().map(tracing::field::display);
                tracing::warn!(channel = message.channel, %error, cause, "a channel was not reached");
                Outcome::again(Trouble::Unreachable)
            }
            Err(_) => Outcome::again(Trouble::Silent(self.timeout)),
        }
    }

    async fn sent(&self, request: Outgoing) -> Result<Answered, ExchangeError> {
        let answer = ask(&self.tls, request).await?;
        let (status, headers) = (answer.head.status, answer.head.headers.clone());
        // The status decides; a body that is too long or breaks off says nothing more.
        let beginning = match answer.read(BEGINNING).await {
            Ok((beginning, false)) => beginning,
            Ok((_, true)) | Err(_) => Vec::new(),
        };
        Ok(Answered {
            status,
            headers,
            beginning,
        })
    }

    /// Signed anew for each attempt, so that a receiver can refuse old ones; all else stays.
    fn headers(&self, message: &Message, body: &Bytes) -> Option<HeaderMap> {
        const AGENT: &str = concat!("ccpool/", env!("CARGO_PKG_VERSION"));
        let mut sent = HeaderMap::new();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        sent.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let ChannelKind::Webhook { secret } = &self.channel.kind {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs();
            let signature = sign(secret.expose(), now, body);
            let headers: [(&str, String); 3] = [
                (ID, message.id.to_string()),
                (TIMESTAMP, now.to_string()),
                (SIGNATURE, signature),
            ];
            for (name, value) in headers {
                let name = HeaderName::from_static(name);
                sent.insert(name, HeaderValue::try_from(value).ok()?);
            }
        }
        Some(sent)
    }
}

impl Channel for Post {
    fn description(&self) -> Option<&str> {
        self.channel.description.as_deref()
    }

    async fn send(&self, message: &Message) -> Result<(), Refusal> {
        let body = Bytes::from(body(&self.channel.kind, message)?.to_string());
        let mut retries = Retries::new(self.retries);
        let channel = message.channel.as_str();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (trouble, wished) = match self.attempt(message, &body).await {
                Outcome::Arrived => return Ok(()),
                Outcome::Refused(refused) => {
                    tracing::warn!(channel, id = %message.id, %refused, "a message was refused");
                    return Err(refused.told(channel));
                }
                Outcome::Again { trouble, wished } => (trouble, wished),
            };
            let wait = retries.next(wished, rand::random());
            tracing::warn!(channel, id = %message.id, %trouble, attempts, "a message did not arrive");
            let Some(wait) = wait else {
                return Err(Refusal::new(format!(
                    "The message has probably not arrived at `{channel}`: {trouble}, at attempt \
                     {attempts}{}. Try again later, or tell the person that it did not work.",
                    wished.map_or_else(String::new, |wished| format!(
                        ", and asks to wait {} s",
                        wished.as_secs_f64().ceil()
                    ))
                )));
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// What came back.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    /// Empty where it is longer than is looked at.
    beginning: Vec<u8>,
}

/// How an attempt ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Arrived,
    /// Another attempt may help.
    Again {
        trouble: Trouble,
        /// How long the receiver asks to wait.
        wished: Option<Duration>,
    },
    /// No attempt will help.
    Refused(Refused),
}

#[derive(Debug, PartialEq)]
enum Trouble {
    Unreachable,
    Silent(Duration),
    Answered(StatusCode),
}

#[derive(Debug, PartialEq)]
enum Refused {
    Unusable,
    Answered(StatusCode),
}

impl Outcome {
    fn again(trouble: Trouble) -> Self {
        Self::Again {
            trouble,
            wished: None,
        }
    }
}

fn judge(answered: &Answered) -> Outcome {
    let status = answered.status;
    if status.is_success() {
        return Outcome::Arrived;
    }
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return Outcome::Refused(Refused::Answered(status));
    }
    let header = answered.headers.get(RETRY_AFTER);
    let header = header.and_then(|value| value.to_str().ok());
    let wished = header
        .and_then(|header| retry_after(header, SystemTime::now()))
        .or_else(|| retry_after_in(&answered.beginning));
    Outcome::Again {
        trouble: Trouble::Answered(status),
        wished,
    }
}

impl Refused {
    /// What the model is told.
    fn told(&self, channel: &str) -> Refusal {
        let at = format!("`tools.message.channels.{channel}`");
        let mend = match self {
            Self::Answered(status) if status.is_redirection() => {
                format!("Redirects are not followed; a person must correct {at}.url.")
            }
            Self::Answered(
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::GONE,
            )
            | Self::Unusable => format!("A person must correct {at} in the configuration."),
            Self::Answered(_) => format!(
                "The same text will not be taken either; say it differently, or let a person look \
                 at {at}."
            ),
        };
        Refusal::new(format!(
            "The channel `{channel}` did not take the message: {self}. {mend}"
        ))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable => f.write_str("its URL cannot be used"),
            Self::Answered(status) => write!(f, "it answered {}", status.as_u16()),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("it cannot be reached"),
            Self::Silent(timeout) => {
                write!(f, "it does not answer within {} ms", timeout.as_millis())
            }
            Self::Answered(status) => write!(f, "it answered {}", status.as_u16()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, header: Option<&'static str>, body: &'static str) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(header));
        }
        judge(&Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            beginning: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [200, 201, 204] {
            assert_eq!(answered(status, None, ""), Outcome::Arrived);
        }
        for status in [301, 304, 400, 401, 404, 408, 413] {
            let outcome = answered(status, Some("1"), "");
            assert!(matches!(outcome, Outcome::Refused(_)), "{status}");
        }
        for status in [429, 500, 502, 503, 599] {
            let outcome = answered(status, None, "");
            assert!(matches!(outcome, Outcome::Again { .. }), "{status}");
        }
    }

    #[test]
    fn a_header_goes_before_a_body() {
        let in_body = r#"{"retry_after": 2}"#;
        for (header, seconds) in [(Some("7"), 7), (Some("soon"), 2), (None, 2)] {
            let Outcome::Again { wished, .. } = answered(429, header, in_body) else {
                panic!("no other attempt")
            };
            assert_eq!(wished, Some(Duration::from_secs(seconds)));
        }
    }
}
