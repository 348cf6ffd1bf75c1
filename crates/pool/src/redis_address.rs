//! Where Redis is: for the gateway, and as seen from inside a container.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::config::{Config, RedisTarget, RuntimeKind, Secret};
use crate::password::Password;

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
    /// `embedded`: the URL of the private server, if one was started. `host`: this host as seen
    /// from containers, which is where a Redis on loopback is looked for.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn resolve(
        config: &Config,
        embedded: Option<&Secret>,
        host: Option<IpAddr>,
    ) -> Result<Self, AddressError> {
        let url = match (&config.redis.url, embedded) {
            (RedisTarget::Url(url), _) => url.expose().to_owned(),
            (RedisTarget::Embedded, Some(url)) => url.expose().to_owned(),
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

    /// The address for wrappers, with a login of its own in the place of the gateway's.
    pub(crate) fn for_user(&self, login: Option<(&str, &Password)>) -> String {
        let login = login.map(|(user, password)| (user, password.expose()));
        with_login(self.container_url.expose(), login)
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

/// The URL with another login, or without one. `unix:` URLs have it in the query, the others before
/// the host.
fn with_login(url: &str, login: Option<(&str, &str)>) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    if scheme == "unix" || scheme.ends_with("+unix") {
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parts = query.split('&').filter(|part| {
            let name = part.split('=').next().unwrap_or_default();
            !matches!(name, "" | "user" | "pass")
        });
        let mut parts: Vec<String> = parts.map(str::to_owned).collect();
        if let Some((user, password)) = login {
            parts.push(format!("user={}", encoded(user)));
            parts.push(format!("pass={}", encoded(password)));
        }
        let mark = if parts.is_empty() { "" } else { "?" };
        return format!("{scheme}://{path}{mark}{}", parts.join("&"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let host = &authority[host..];
    match login {
        Some((user, password)) => {
            let (user, password) = (encoded(user), encoded(password));
            format!("{scheme}://{user}:{password}@{host}{tail}")
        }
        None => format!("{scheme}://{host}{tail}"),
    }
}

/// Percent-encoded: everything but letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
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
        let url = Secret::new(format!("unix://{socket}?pass=fake"));
        RedisAddress::resolve(&config, Some(&url), None).unwrap()
    }

    #[test]
    fn a_socket_is_mounted_and_a_process_sees_it_where_it_is() {
        let docker = resolve(RuntimeKind::Docker, "/tmp/x/redis.sock");
        assert_eq!(
            docker.container_url.expose(),
            "unix:///run/ccpool/redis.sock?pass=fake"
        );
        assert_eq!(docker.socket_dir, Some(PathBuf::from("/tmp/x")));
        let process = resolve(RuntimeKind::Process, "/tmp/x/redis.sock");
        let same = "unix:///tmp/x/redis.sock?pass=fake";
        assert_eq!(process.container_url.expose(), same);
        assert_eq!(process.socket_dir, None);
    }

    #[test]
    fn a_container_logs_in_as_itself_wherever_redis_is() {
        for url in [
            "redis://h:1/2",
            "redis://:pw@h:1/2",
            "redis://u:p%40w@h:1/2?protocol=resp3",
            "redis://u@[::1]:1/2",
            "unix:///tmp/r.sock?db=2",
            "unix:///tmp/r.sock?pass=a%26b&db=2&user=u",
            "redis+unix:///tmp/r.sock?db=2",
        ] {
            let before = url.into_connection_info().unwrap();
            for login in [None, Some(("a/b:c@%41&é", "p?#w"))] {
                let url = with_login(url, login);
                let info = url.as_str().into_connection_info().unwrap();
                let settings = info.redis_settings();
                let found = settings.username().zip(settings.password());
                assert_eq!(found, login, "{url}");
                assert_eq!((info.addr(), settings.db()), (before.addr(), 2), "{url}");
            }
        }
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
