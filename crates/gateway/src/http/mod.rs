mod auth;
mod body;
mod events;
mod health;
mod mcp_token;
mod openai;
mod openapi;
mod permissions;
mod pool;
mod problem;
mod router;
mod schema;
mod sessions;
mod sse;
mod state;
mod turns;

pub(crate) use auth::Gate;
pub(crate) use openapi::text as openapi_text;

pub(crate) use router::{mcp_only, router};
pub(crate) use state::AppState;
