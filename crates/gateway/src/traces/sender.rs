//! Sends exported spans with the gateway's own HTTP client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make an HTTP client for traces: {0}")]
pub(crate) struct SenderError(#[from] reqwest::Error);

/// The exporter works in a thread of its own, without an async runtime; what it sends goes out on
/// the gateway's.
#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    tasks: TaskTracker,
    /// The last request failed, and somebody was told.
    is_failing: AtomicBool,
}

impl Sender {
    pub(super) fn new(runtime: Handle) -> Result<Self, SenderError> {
        Ok(Self {
            client: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            runtime,
            tasks: TaskTracker::new(),
            is_failing: AtomicBool::new(false),
        })
    }

    /// Tells the first failure and the first success after it; spans come all the time.
    fn tell(&self, failure: Option<&str>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => {
                tracing::warn!(error, "traces cannot be sent to telemetry.otlpEndpoint");
            }
            None if was_failing => tracing::info!("traces are sent again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.tasks.spawn_on(send(client, request), &self.runtime);
        let answer = match sent.await {
            Ok(answer) => answer,
            // The runtime is gone, and with it whoever could be told.
            Err(ended) => return Err(Box::new(ended)),
        };
        match &answer {
            Ok(response) if response.status().is_success() => self.tell(None),
            Ok(response) => self.tell(Some(&format!("it answers {}", response.status()))),
            Err(error) => self.tell(Some(&chain(error))),
        }
        Ok(answer?)
    }
}

async fn send(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, reqwest::Error> {
    let answer = client.execute(request.try_into()?).await?;
    let status = answer.status();
    let mut response = Response::new(answer.bytes().await?);
    *response.status_mut() = status;
    Ok(response)
}

/// The error and what it comes from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
