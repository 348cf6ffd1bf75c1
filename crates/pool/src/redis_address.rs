//! Where Redis is: for the gateway, and as seen from inside a container.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::config::{Config, RedisTarget, RuntimeKind, Secret};

/// Where the folder of Redis' Unix socket is mounted in a container.
pub const CONTAINER_SOCKET_DIR: &str = "/run/ccpool";

/// The two addresses. Both may hold a password.
#[derive(Debug, Clone)]
pub struct RedisAddress {
    /// For the gateway.
    pub url: Secret,
    /// For wrappers.
    pub container_url: Secret,
    /// The folder of the Unix socket, when Redis is reached through one.
    pub socket_dir: Option<PathBuf>,
}

/// Why no address could be made of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// `redis.url: embedded`, but no server was started.
    #[error("`redis.url` is `embedded`, and no Redis server was started for it")]
    NotStarted,
    /// Not a URL that the client takes. The URL is not repeated: it may hold a password.
    #[error("`redis.url` is not a Redis URL")]
    Invalid(#[source] RedisError),
}

impl RedisAddress {
    /// `embedded`: the socket of the private server, if one was started. `host`: this host as seen
    /// from containers, which is where a Redis on loopback is looked for.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn resolve(
        config: &Config,
        embedded: Option<&Path>,
        host: Option<IpAddr>,
    ) -> Result<Self, AddressError> {
        let url = match (&config.redis.url, embedded) {
            (RedisTarget::Url(url), _) => url.expose().to_owned(),
            (RedisTarget::Embedded, Some(socket)) => format!("unix://{}", socket.display()),
            (RedisTarget::Embedded, None) => return Err(AddressError::NotStarted),
        };
        let info = url
            .as_str()
            .into_connection_info()
            .map_err(AddressError::Invalid)?;
        let mut socket_dir = None;
        let seen_inside = match (config.runtime, info.addr()) {
            (RuntimeKind::Process, _) => url.clone(),
            (RuntimeKind::Docker, ConnectionAddr::Unix(path)) => {
                socket_dir = path.parent().map(Path::to_owned);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                url.replacen(
                    &*path.to_string_lossy(),
                    &format!("{CONTAINER_SOCKET_DIR}/{name}"),
                    1,
                )
            }
            (RuntimeKind::Docker, ConnectionAddr::Tcp(name, _)) => at_host(&url, name, host),
            (RuntimeKind::Docker, _) => url.clone(),
        };
        let container_url = match &config.redis.container_url {
            Some(url) => url.expose().to_owned(),
            None => seen_inside,
        };
        Ok(Self {
            url: Secret::new(url),
            container_url: Secret::new(container_url),
            socket_dir,
        })
    }

    /// What the client connects to, with TCP_NODELAY.
    pub(crate) fn connection_info(&self) -> Result<ConnectionInfo, AddressError> {
        let info = self
            .url
            .expose()
            .into_connection_info()
            .map_err(AddressError::Invalid)?;
        Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
    }
}

/// A name of this host means the container itself in there.
fn at_host(url: &str, name: &str, host: Option<IpAddr>) -> String {
    let loopback = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match host {
        Some(ip) if loopback => {
            let (head, tail) = match url.rfind('@') {
                Some(at) => url.split_at(at + 1),
                None => url.split_at(url.find("://").map_or(0, |scheme| scheme + 3)),
            };
            format!("{head}{}", tail.replacen(name, &ip.to_string(), 1))
        }
        Some(_) | None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(runtime: RuntimeKind, socket: &str) -> RedisAddress {
        let mut config = Config {
            runtime,
            ..Config::default()
        };
        config.redis.url = RedisTarget::Embedded;
        RedisAddress::resolve(&config, Some(Path::new(socket)), None).unwrap()
    }

    #[test]
    fn a_socket_is_mounted_and_a_process_sees_it_where_it_is() {
        let docker = resolve(RuntimeKind::Docker, "/tmp/x/redis.sock");
        assert_eq!(
            docker.container_url.expose(),
            "unix:///run/ccpool/redis.sock"
        );
        assert_eq!(docker.socket_dir, Some(PathBuf::from("/tmp/x")));
        let process = resolve(RuntimeKind::Process, "/tmp/x/redis.sock");
        assert_eq!(process.container_url.expose(), "unix:///tmp/x/redis.sock");
        assert_eq!(process.socket_dir, None);
    }

    #[test]
    fn loopback_becomes_the_host() {
        let host = Some("172.20.0.1".parse().unwrap());
        let at = |url, name| at_host(url, name, host);
        assert_eq!(
            at("redis://localhost:6379/1", "localhost"),
            "redis://172.20.0.1:6379/1"
        );
        assert_eq!(
            at("redis://u:localhost@127.0.0.1:7", "127.0.0.1"),
            "redis://u:localhost@172.20.0.1:7"
        );
        assert_eq!(
            at("redis://db.example:1", "db.example"),
            "redis://db.example:1"
        );
    }
}
