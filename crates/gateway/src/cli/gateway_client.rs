//! Talking to a running gateway over HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ccpool::config::{Http, Secret};
use ccpool_protocol::FailureKind;
use http::Method;
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{CliError, Exit};

/// A gateway on this host that does not connect within this is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for the gateway that the configuration names.
#[derive(Debug)]
pub(super) struct GatewayClient {
    http: reqwest::Client,
    base: String,
    token: Option<Secret>,
}

impl GatewayClient {
    /// A client for `http.listen`, with `http.token`.
    pub(super) fn new(http: &Http) -> Result<Self, CliError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // The gateway is on this host; a proxy of the environment is for the world outside.
            .no_proxy()
            .build()
            .map_err(|error| CliError::internal(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self {
            http: client,
            base: format!("http://{}", dialled(http.listen)),
            token: http.token.clone(),
        })
    }

    /// Whether a ccpool gateway answers where this one would listen.
    pub(super) async fn finds_one(http: &Http) -> bool {
        match Self::new(http) {
            Ok(client) => client.is_alive().await,
            Err(_) => false,
        }
    }

    /// Whether a ccpool gateway answers there.
    pub(super) async fn is_alive(&self) -> bool {
        let asked = self
            .request(Method::GET, "/livez")
            .timeout(CONNECT_TIMEOUT)
            .send()
            .await;
        match asked {
            Ok(response) => response.status().is_success(),
            Err(_) => false,
        }
    }

    /// Asks for JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Asks for JSON whatever the status: health is an answer even when it is bad.
    pub(super) async fn get_any(&self, path: &str) -> Result<Value, CliError> {
        let response = self.answer(self.request(Method::GET, path)).await?;
        if matches!(response.status().as_u16(), 200 | 503) {
            return self.parsed(response).await;
        }
        Err(refusal(response).await)
    }

    /// Posts JSON, gets JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Changes something with JSON, gets JSON.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        self.json(self.request(Method::PATCH, path).json(body))
            .await
    }

    /// Posts JSON, gets a stream.
    pub(super) async fn post_stream(&self, path: &str, body: &Value) -> Result<Response, CliError> {
        self.accepted(self.request(Method::POST, path).json(body))
            .await
    }

    /// Asks for a stream, beginning after an event.
    pub(super) async fn get_stream(
        &self,
        path: &str,
        after: Option<String>,
    ) -> Result<Response, CliError> {
        let mut request = self.request(Method::GET, path);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        self.accepted(request).await
    }

    /// Deletes.
    pub(super) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.accepted(self.request(Method::DELETE, path))
            .await
            .map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let response = self.accepted(request).await?;
        self.parsed(response).await
    }

    async fn parsed<T: DeserializeOwned>(&self, response: Response) -> Result<T, CliError> {
        response.json().await.map_err(|error| {
            CliError::internal(format!(
                "{} answered with something else than JSON: {error}",
                self.base
            ))
            .mend("use the ccpool of the gateway's version, or correct http.listen")
        })
    }

    async fn accepted(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = self.answer(request).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(refusal(response).await)
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, CliError> {
        request.send().await.map_err(|_| {
            let message = format!("no gateway answers at {}", self.base);
            CliError::new(
                Exit::Unavailable,
                FailureKind::Unavailable.as_str(),
                message,
            )
            .mend("start one with `ccpool serve`, or correct http.listen")
        })
    }
}

/// An address that listens everywhere is dialled at loopback.
fn dialled(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// What of a problem matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    kind: FailureKind,
    detail: String,
    mend: Option<String>,
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let exit = match Exit::of_turn(refusal.kind) {
            Exit::TurnFailed => Exit::Failed,
            exit => exit,
        };
        let error = Self::new(exit, refusal.kind.as_str(), refusal.detail);
        match refusal.mend {
            Some(mend) => error.mend(mend),
            None => error,
        }
    }
}

async fn refusal(response: Response) -> CliError {
    let status = response.status();
    match response.json::<Refusal>().await {
        Ok(refusal) => refusal.into(),
        Err(_) => CliError::internal(format!("the gateway answered {status}"))
            .mend("check that http.listen is a ccpool gateway of this version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_is_dialled_at_loopback() {
        let dialled = |text: &str| dialled(text.parse().unwrap()).to_string();
        assert_eq!(dialled("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(dialled("[::]:1"), "[::1]:1");
        assert_eq!(dialled("10.0.0.1:1"), "10.0.0.1:1");
    }
}
