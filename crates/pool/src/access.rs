//! Keeping the containers' Redis users in step with the containers.

use std::collections::HashSet;

use ccpool_protocol::ContainerId;

use crate::config::RedisAcl;
use crate::container::Container;
use crate::store::{RedisUsers, StoreError};

/// Makes the users that are missing, as after a restart of Redis, which keeps them in memory alone,
/// and removes those whose containers are gone. `users` were listed before the containers.
pub(crate) async fn keep(
    all: &RedisUsers,
    users: &[ContainerId],
    containers: &[Container],
) -> Result<(), StoreError> {
    let have: HashSet<&ContainerId> = users.iter().collect();
    let exist: HashSet<&ContainerId> = containers.iter().map(|c| &c.id).collect();
    for container in containers {
        if container.acl_hash.is_some() && !have.contains(&container.id) {
            all.admit(&container.id).await?;
            tracing::info!(container = %container.id, "made its Redis user again");
        }
    }
    for user in users {
        if !exist.contains(user) {
            all.expel(user).await?;
            tracing::info!(container = %user, "removed the Redis user of a container that is gone");
        }
    }
    Ok(())
}

/// What a person is told about a pool whose containers hold each other back less than they could.
pub(crate) fn warning(acl: RedisAcl, is_open: bool) -> Option<String> {
    match acl {
        RedisAcl::Off => Some(
            "redis.acl is off: whoever takes over a container can read and write every session"
                .to_owned(),
        ),
        RedisAcl::On if is_open => Some(
            "Redis needs no password, so the containers' own users hold nobody back; set one \
             (`requirepass`) and put it into redis.url"
                .to_owned(),
        ),
        RedisAcl::On => None,
    }
}
