//! What every store and every runtime must do: one suite, which the real ones and the fakes pass.

mod bearers;
mod claims;
mod containers;
mod conversations;
mod fairness;
mod jobs;
mod register;
mod restore;
mod runtime;
mod sessions;
pub(crate) mod subject;

/// Runs each case on the store in memory and on the one in Redis.
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::contract::subject::Memory::new()).await;
            })*
        }
        mod in_redis {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::contract::subject::Server::new().await).await;
            })*
        }
    };
}
use on_every_store;
