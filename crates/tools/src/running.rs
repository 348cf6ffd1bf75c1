//! Calls that are under way, so that they can be cancelled.
//!
//! Each request is answered by itself, so rmcp does not know to which call a `notifications/cancelled`
//! belongs. Claude Code sends one when its turn is interrupted, and keeps the call's connection open
//! (seen with 2.1.329).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ccpool::{Caller, ContainerId, SessionId};
use http::StatusCode;
use rmcp::model::RequestId;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

/// Longest request.
const BODY_BYTES: usize = 4 << 20;

/// How many calls of one session may be under way.
pub(crate) const MOST: usize = 32;

/// Whose call it is: one client may not cancel another's.
type Key = (Option<ContainerId>, Option<SessionId>, RequestId);

/// The calls of one gateway.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<Key, CancellationToken>>>);

/// A call is under way as long as this is held.
#[derive(Debug)]
pub(crate) struct UnderWay {
    running: Running,
    key: Key,
}

#[derive(Deserialize)]
struct Notification {
    method: String,
    params: Cancelled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    request_id: RequestId,
}

impl Running {
    /// A call has begun. None: as many of its session's are under way as may be.
    pub(crate) fn begin(
        &self,
        caller: &Caller,
        request: RequestId,
        cancelled: &CancellationToken,
    ) -> Option<UnderWay> {
        let key = key(caller, request);
        self.with(|calls| {
            let same = calls.keys().filter(|call| call.1 == key.1);
            if same.count() >= MOST {
                return None;
            }
            calls.insert(key.clone(), cancelled.clone());
            Some(UnderWay {
                running: self.clone(),
                key,
            })
        })
    }

    fn cancel(&self, key: &Key) {
        if let Some(cancelled) = self.with(|calls| calls.get(key).cloned()) {
            cancelled.cancel();
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Key, CancellationToken>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.running.with(|calls| calls.remove(&self.key));
    }
}

fn key(caller: &Caller, request: RequestId) -> Key {
    (caller.container.clone(), caller.session.clone(), request)
}

/// Cancels the call that a request is about, if that is what it is.
pub(crate) async fn heed(State(running): State<Running>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        let text = format!("a request may have {BODY_BYTES} bytes\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
    };
    if let (Some(caller), Some(call)) = (parts.extensions.get::<Caller>(), cancelled(&body)) {
        running.cancel(&key(caller, call));
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}

fn cancelled(body: &Bytes) -> Option<RequestId> {
    // Nearly no request is one, and those have little in them.
    if body.len() > 4096 {
        return None;
    }
    let notification: Notification = serde_json::from_slice(body).ok()?;
    (notification.method == "notifications/cancelled").then_some(notification.params.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(container: u64) -> Caller {
        Caller {
            container: Some(ContainerId::from_random(container)),
            session: SessionId::new("s").ok(),
            agent: None,
            depth: 0,
        }
    }

    #[test]
    fn only_so_many_run_at_once() {
        let running = Running::default();
        let begin = |number: usize| {
            let id = RequestId::Number(i64::try_from(number).unwrap());
            running.begin(&caller(1), id, &CancellationToken::new())
        };
        let mut calls: Vec<_> = (0..MOST).map(begin).collect();
        assert!(calls.iter().all(Option::is_some));
        assert!(begin(MOST).is_none());
        calls.pop();
        assert!(begin(MOST).is_some());
    }

    #[test]
    fn a_call_is_cancelled_by_its_own_client_and_while_it_runs() {
        let body =
            br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        let id = cancelled(&Bytes::from_static(body)).expect("it cancels");
        let running = Running::default();
        let token = CancellationToken::new();
        let call = running.begin(&caller(1), id.clone(), &token);
        assert!(call.is_some());
        running.cancel(&key(&caller(2), id.clone()));
        running.cancel(&key(&caller(1), RequestId::Number(8)));
        assert!(!token.is_cancelled());
        running.cancel(&key(&caller(1), id.clone()));
        assert!(token.is_cancelled());
        drop(call);
        assert!(running.with(|calls| calls.is_empty()));
        for other in [
            &br#"{"method":"tools/call","params":{"requestId":7}}"#[..],
            br#"{"method":"notifications/cancelled","params":{}}"#,
            b"[]",
        ] {
            assert_eq!(cancelled(&Bytes::copy_from_slice(other)), None);
        }
    }
}
