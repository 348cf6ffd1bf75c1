//! Redis: reachable, new enough, able to keep sessions apart.

use std::path::Path;
use std::time::Duration;

use ccpool::PoolError;
use ccpool::config::{Config, Redis, RedisAcl, RedisTarget};
use ccpool::store::{RedisStore, StoreError, is_open};
use ccpool_protocol::keys::Keys;
use redis::IntoConnectionInfo;
use redis::aio::MultiplexedConnection;

use super::report::Check;

/// LMOVE and BLMOVE, which the prompt queue uses, came with 6.2.
const OLDEST: (u64, u64) = (6, 2);

/// A Redis that takes longer is as good as none.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks the server that the configuration names, or that one can be started.
pub(super) async fn examine(config: &Config) -> Vec<Check> {
    const NAME: &str = "Redis";
    let url = match &config.redis.url {
        RedisTarget::Url(url) => url,
        RedisTarget::Embedded if config.redis.acl == RedisAcl::Off => {
            return vec![embedded(), off()];
        }
        RedisTarget::Embedded => return vec![embedded()],
    };
    let mut connection = match connect(url.expose()).await {
        Ok(connection) => connection,
        Err(why) => {
            return vec![Check::failed(
                NAME,
                format!("{url} does not answer: {why}"),
                "start Redis, correct redis.url, or set it to `embedded`",
            )];
        }
    };
    vec![
        version(&mut connection, url).await,
        users(url.expose(), &config.redis).await,
    ]
}

fn embedded() -> Check {
    const NAME: &str = "Redis";
    let servers = ["redis-server", "valkey-server"].map(|name| ccpool::on_path(Path::new(name)));
    match servers.iter().find(|path| path.is_absolute()) {
        Some(path) => Check::ok(NAME, format!("embedded, by {}", path.display())),
        None => Check::failed(
            NAME,
            "redis.url is `embedded`, and neither redis-server nor valkey-server is on PATH",
            "install one, or set redis.url to a server that runs",
        ),
    }
}

/// Connects and logs in. The error never holds the URL.
pub(super) async fn connect(url: &str) -> Result<MultiplexedConnection, String> {
    let info = url
        .into_connection_info()
        .map_err(|error| error.to_string())?;
    let client = redis::Client::open(info).map_err(|error| error.to_string())?;
    tokio::time::timeout(TIMEOUT, client.get_multiplexed_async_connection())
        .await
        .map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))?
        .map_err(|error| error.to_string())
}

async fn version(connection: &mut MultiplexedConnection, url: &impl std::fmt::Display) -> Check {
    const NAME: &str = "Redis";
    const MEND: &str = "use Redis 6.2 or newer, or Valkey";
    let info: Result<String, _> = redis::cmd("INFO")
        .arg("server")
        .query_async(connection)
        .await;
    match info.as_deref().map(found_version) {
        Ok(Some(found)) if at_least(found, OLDEST) => {
            Check::ok(NAME, format!("{url} answers, version {found}"))
        }
        Ok(Some(found)) => Check::failed(NAME, format!("{url} is version {found}"), MEND),
        Ok(None) => Check::failed(NAME, format!("{url} does not tell its version"), MEND),
        Err(error) => Check::failed(
            NAME,
            format!("{url} answers, but not to this user: {error}"),
            "give the user of redis.url all commands on the keys of redis.keyPrefix",
        ),
    }
}

/// Whether containers can be kept apart in Redis, and are.
async fn users(url: &str, config: &Redis) -> Check {
    const NAME: &str = "Redis users";
    if config.acl == RedisAcl::Off {
        return off();
    }
    let keys = Keys::new(config.key_prefix.clone());
    let asked = async {
        let info = url.into_connection_info()?;
        let store = RedisStore::connect(info.clone(), keys.clone(), 1).await?;
        store.users().probe().await?;
        Ok::<_, StoreError>(is_open(&info, &keys).await)
    };
    match asked.await {
        Ok(false) => Check::ok(NAME, "every container gets one of its own"),
        Ok(true) => Check::warned(
            NAME,
            "Redis needs no password, so the containers' own users hold nobody back",
            "set one (`requirepass`), and put it into redis.url",
        ),
        Err(error) => {
            let error = PoolError::from(error);
            Check::failed(NAME, error.to_string(), error.mend().unwrap_or_default())
        }
    }
}

fn off() -> Check {
    Check::warned(
        "Redis users",
        "redis.acl is off: whoever takes over a container can read and write every session",
        "set redis.acl to `on`",
    )
}

fn found_version(info: &str) -> Option<&str> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    field("redis_version:")
}

fn at_least(version: &str, (major, minor): (u64, u64)) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u64>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(at_least("7.0.15", OLDEST));
        assert!(at_least("10.0", OLDEST));
        assert!(at_least("6.2.0", OLDEST));
        assert!(!at_least("6.0.16", OLDEST));
        assert_eq!(
            found_version("# Server\r\nredis_version:7.0.15\r\n"),
            Some("7.0.15")
        );
    }
}
