//! `GET /api/docker-cc/sessions/{id}/events`: follow a session, or one of its turns.

use axum::extract::State;
use axum::response::IntoResponse;
use ccpool::{EventId, TurnId};
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{InPath, InQuery};
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use super::{schema, sse};

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Follow {
    /// As the `Last-Event-ID` header, which wins.
    last_event_id: Option<String>,
    /// Only this turn, from its beginning in the buffer; the stream ends with it.
    #[param(value_type = Option<String>)]
    turn: Option<TurnId>,
}

/// Follow the events of a session.
///
/// With `Last-Event-ID`, exactly what came after that event, from the buffer, and then what comes.
/// Without, what comes from now on. What the buffer no longer holds is told by a `gap` event.
#[utoipa::path(
    get,
    path = "/api/docker-cc/sessions/{id}/events",
    tag = "turns",
    params(
        ("id" = String, Path, description = "The session"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was seen, such as `17-0`"),
        Follow,
    ),
    responses(
        (status = 200, description = "Reply events, `event: <type>`, `id: <seq>-<part>`, `data: <ReplyEvent>`",
            body = schema::ReplyEvent, content_type = "text/event-stream"),
        (status = 400, description = "Not an event id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no session of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn follow(
    State(state): State<AppState>,
    InPath(session): InPath,
    InQuery(query): InQuery<Follow>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let after = last_event_id(&headers, query.last_event_id.as_deref())?;
    let events = match &query.turn {
        Some(turn) => state.pool.turn_events(&session, turn, after).await?,
        None => state.pool.events(&session, after).await?,
    };
    Ok(sse::respond(events, state.stop))
}

fn last_event_id(headers: &HeaderMap, query: Option<&str>) -> Result<Option<EventId>, Problem> {
    let header = match headers.get("last-event-id") {
        Some(value) => Some(value.to_str().map_err(|_| not_an_id("(not ASCII)"))?),
        None => None,
    };
    // A browser that has seen no id sends an empty one.
    match header.or(query).filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map(Some).map_err(|_| not_an_id(text)),
        None => Ok(None),
    }
}

fn not_an_id(text: &str) -> Problem {
    let shown: String = text.chars().take(40).collect();
    Problem::bad_request(format!("{shown:?} is not an event id"))
        .mend("send the `id` of an event, such as 17-0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_wins_over_the_query() {
        let with = HeaderMap::from_iter([(
            http::HeaderName::from_static("last-event-id"),
            "17-2".parse().unwrap(),
        )]);
        let id = last_event_id(&with, Some("3")).unwrap().unwrap();
        assert_eq!((id.seq, id.part), (17, 2));
        let id = last_event_id(&HeaderMap::new(), Some("3-1"))
            .unwrap()
            .unwrap();
        assert_eq!((id.seq, id.part), (3, 1));
        assert_eq!(last_event_id(&HeaderMap::new(), Some("")).unwrap(), None);
        assert_eq!(last_event_id(&HeaderMap::new(), None).unwrap(), None);
        assert!(last_event_id(&HeaderMap::new(), Some("x")).is_err());
    }
}
