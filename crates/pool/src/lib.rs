//! A warm pool of Claude Code containers, as a library.
//!
//! A container counts as warm only when `claude` in it has booted and answers. Claiming one binds
//! it to a session; a prompt sent into the session comes back as a stream of reply events that
//! ends with exactly one `completed` or `failed`; when the session ends its container is
//! destroyed.
//!
//! ```no_run
//! # async fn example(parts: ccpool::PoolParts) -> Result<(), Box<dyn std::error::Error>> {
//! use ccpool::{ClaimRequest, Event, Pool, Prompt};
//! use futures::StreamExt;
//!
//! let pool = Pool::start(parts).await?;
//! let claimed = pool.claim(ClaimRequest::default()).await?;
//! let mut turn = pool.send(&claimed.session, Prompt::text("hello")).await?;
//! while let Some(event) = turn.events.next().await {
//!     match event?.event.event {
//!         Event::TextDelta { text, .. } => print!("{text}"),
//!         Event::Failed(failed) => eprintln!("{}: {}", failed.kind, failed.message),
//!         _ => {}
//!     }
//! }
//! pool.end(&claimed.session).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Inside, things point one way: [`Pool`] → reconciler and claim → [`plan`] (pure), with two edges,
//! [`runtime::Runtime`] and [`store::Store`].

pub mod config;
pub mod image;
pub mod plan;
pub mod provider;
pub mod refill;
pub mod runtime;
pub mod standing;
pub mod store;

mod access;
mod ask_rules;
mod attendance;
mod caller;
mod claim;
mod clock;
mod conclude;
mod container;
mod courtesy;
mod demand;
mod embedded;
mod error;
mod events;
mod execute;
mod failure_cause;
mod functions;
mod gateway;
mod health;
mod heard;
mod hub;
mod identity;
mod info;
mod laptop;
mod launch;
mod leaders_word;
mod listener;
mod output_schema;
mod pace;
mod password;
mod permissions;
mod pool;
mod program_path;
mod prompt;
mod reconcile;
mod redis_address;
mod relay;
mod resize;
mod session;
mod session_pass;
mod token;
mod turn_trace;

pub use ccpool_protocol as protocol;
pub use ccpool_protocol::function::{FunctionCall, FunctionResult, FunctionTool, PendingFunction};
pub use ccpool_protocol::permission::{Answer, PendingPermission, SettledPermission};
pub use ccpool_protocol::{
    AgentId, ContainerId, Event, FailureKind, ReplyEvent, RequestId, SessionId, TurnId,
};
pub use claim::{ClaimRequest, Claimed};
pub use container::{Activity, Container};
pub use embedded::{EmbeddedError, EmbeddedRedis};
pub use error::PoolError;
pub use events::{EventId, EventIdError, EventStream, StreamedEvent};
pub use gateway::{GatewayId, GatewayIdError};
pub use info::{
    Caller, Check, ContainerInfo, Counts, GatewayInfo, Health, HealthStatus, Limits, PoolSnapshot,
    RecentFailure, SessionInfo,
};
pub use output_schema::{OutputSchema, OutputSchemaError};
pub use pool::{Pool, PoolParts};
pub use program_path::on_path;
pub use prompt::Prompt;
pub use redis_address::{AddressError, CONTAINER_SOCKET_DIR, RedisAddress};
pub use relay::{MOST_HOPS, RelayError, Wait};
pub use resize::LimitsChange;
pub use session::{Transcript, Turn};
pub use session_pass::Pass;
pub use token::Token;
