//! Redis: reachable, new enough, able to keep sessions apart.

use std::path::Path;
use std::time::Duration;

use ccpool::config::{Config, RedisAcl, RedisTarget};
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
        acl(&mut connection, config.redis.acl).await,
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

async fn acl(connection: &mut MultiplexedConnection, wanted: RedisAcl) -> Check {
    const NAME: &str = "Redis users";
    if wanted == RedisAcl::Off {
        return Check::ok(
            NAME,
            "redis.acl is off: containers are not kept apart in Redis",
        );
    }
    let listed: Result<Vec<String>, _> =
        redis::cmd("ACL").arg("USERS").query_async(connection).await;
    match listed {
        Ok(users) => Check::ok(NAME, format!("ACLs are supported, {} users", users.len())),
        Err(error) => Check::failed(
            NAME,
            format!("users cannot be managed: {error}"),
            "let the user of redis.url run ACL, or set redis.acl: off (no separation)",
        ),
    }
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
