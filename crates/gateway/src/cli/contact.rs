//! What a person can do about a session whose turn they watch: by a gateway, or by a pool of this
//! process.

use ccpool::{Answer, Pool};
use ccpool_protocol::{RequestId, SessionId};
use serde_json::{Value, json};

use super::error::CliError;
use super::gateway_client::GatewayClient;

/// The way to a session.
#[derive(Debug)]
pub(super) enum Contact<'a> {
    /// A running gateway's.
    Gateway(&'a GatewayClient, &'a SessionId),
    /// Of a pool in this process, which nobody else reaches.
    Pool(&'a Pool, &'a SessionId),
}

impl Contact<'_> {
    /// The session.
    pub(super) fn session(&self) -> &SessionId {
        match self {
            Self::Gateway(_, session) | Self::Pool(_, session) => session,
        }
    }

    /// Whether others can answer what the session asks.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Gateway(..))
    }

    /// Ends the running turn.
    pub(super) async fn interrupt(&self) -> Result<(), CliError> {
        match self {
            Self::Gateway(client, session) => {
                let path = format!("/api/docker-cc/sessions/{session}/interrupt");
                client.post(&path, &json!({})).await.map(|_: Value| ())
            }
            Self::Pool(pool, session) => Ok(pool.interrupt(session).await?),
        }
    }

    /// Answers a permission request.
    pub(super) async fn answer(&self, request: &RequestId, answer: Answer) -> Result<(), CliError> {
        match self {
            Self::Gateway(client, session) => answer_by(client, session, request, &answer)
                .await
                .map(|_| ()),
            Self::Pool(pool, session) => {
                pool.answer(session, request, answer).await?;
                Ok(())
            }
        }
    }

    /// The requests that wait, as a gateway lists them.
    pub(super) async fn pending(&self) -> Result<Vec<Value>, CliError> {
        match self {
            Self::Gateway(client, session) => {
                let mut listed = listed_by(client, session).await?;
                match listed["permissions"].take() {
                    Value::Array(pending) => Ok(pending),
                    _ => Ok(Vec::new()),
                }
            }
            // A new session has none.
            Self::Pool(..) => Ok(Vec::new()),
        }
    }
}

/// The permission requests of a session that wait.
pub(super) async fn listed_by(
    client: &GatewayClient,
    session: &SessionId,
) -> Result<Value, CliError> {
    let path = format!("/api/docker-cc/sessions/{session}/permissions");
    client.get(&path).await
}

/// Answers a permission request; gives what became of it.
pub(super) async fn answer_by(
    client: &GatewayClient,
    session: &SessionId,
    request: &RequestId,
    answer: &Answer,
) -> Result<Value, CliError> {
    let path = format!("/api/docker-cc/sessions/{session}/permissions/{request}");
    client.post(&path, &json!(answer)).await
}
