//! Who calls a tool: told by the bearer token of every request, never by arguments.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ccpool::Pool;

use crate::http::{Problem, bearer};

/// Puts the [`ccpool::Caller`] into the request, or refuses it.
pub(crate) async fn identify(
    State(pool): State<Pool>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return Problem::unauthorized("tools are for containers: a bearer token is missing")
            .into_response();
    };
    match pool.caller(token).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => {
            Problem::unauthorized("the bearer token belongs to no container").into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}
