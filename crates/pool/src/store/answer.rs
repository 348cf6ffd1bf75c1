//! What scripts are told, and answers that are not what they should be.

use ccpool_protocol::ContainerId;
use deadpool_redis::redis::RedisError;

use super::StoreError;
use crate::standing::Fence;

/// As a script is given it: nothing for who does not lead.
pub(super) fn fence_word(fence: Option<Fence>) -> String {
    fence.map_or(String::new(), |fence| fence.0.to_string())
}

pub(super) fn container_id(script: &str, answer: &[String]) -> Result<ContainerId, StoreError> {
    let id = answer.get(1).map(String::as_str).unwrap_or_default();
    ContainerId::new(id).map_err(|_| unexpected(script, id))
}

pub(super) fn unexpected(script: &str, answer: &str) -> StoreError {
    StoreError::Broken(format!("the script `{script}` returned {answer:?}"))
}

pub(super) fn pool_error(error: deadpool_redis::PoolError) -> StoreError {
    match error {
        deadpool_redis::PoolError::Backend(source) => source.into(),
        other => {
            let detail = std::io::Error::new(std::io::ErrorKind::TimedOut, other.to_string());
            StoreError::Unreachable {
                source: RedisError::from(detail),
            }
        }
    }
}
