use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use figment::value::Value;
use url::Url;

use super::given::{Complaint, FromValue, quoted, schema, text};
use super::secret::Secret;

/// Which Redis to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTarget {
    /// A private server that the pool starts and stops itself.
    Embedded,
    /// One that runs already.
    Url(RedisUrl),
}

impl fmt::Display for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisTarget::Embedded => f.write_str("embedded"),
            RedisTarget::Url(url) => url.fmt(f),
        }
    }
}

/// A Redis address: `redis://`, `rediss://`, `unix://` or `redis+unix://`.
///
/// It may hold a password, so `Debug` and `Display` show it without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    url: Secret,
    shown: String,
}

const REDIS_FORMS: &str =
    "write redis://host:port, rediss://host:port, unix:///path/to.sock or embedded";
const REDIS_URL_FORMS: &str = "write redis://host:port, rediss://host:port or unix:///path/to.sock";

impl RedisUrl {
    /// The address with its password, for the client that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.url.expose()
    }

    /// Complaints never repeat the text: what cannot be parsed cannot be redacted either.
    fn parse(given: &str, forms: &str) -> Result<Self, Complaint> {
        let url = Url::parse(given)
            .map_err(|why| Complaint::new(format!("is not a URL ({why})"), forms))?;
        let is_socket = match url.scheme() {
            "redis" | "rediss" => false,
            "unix" | "redis+unix" => true,
            scheme => {
                let what = format!("has the scheme {}, which is not Redis'", quoted(scheme));
                return Err(Complaint::new(what, forms));
            }
        };
        let host = url.host_str().unwrap_or_default();
        if is_socket {
            if !host.is_empty() || !url.path().starts_with('/') || url.path().len() < 2 {
                let mend = "write unix:// and then the absolute path of the socket";
                return Err(Complaint::new("names no socket", mend));
            }
        } else {
            if host.is_empty() {
                let mend = "name a host, and write special letters of a password as %40 and so on";
                return Err(Complaint::new("names no host", mend));
            }
            let database = url.path().trim_start_matches('/');
            if !database.is_empty() && database.parse::<u32>().is_err() {
                let mend = "end the URL with the database's number, such as /0, or leave it out";
                return Err(Complaint::new(
                    "has a path that is no database number",
                    mend,
                ));
            }
        }
        Ok(Self {
            url: Secret::new(given),
            shown: redact(&url),
        })
    }
}

fn redact(url: &Url) -> String {
    let mut shown = format!("{}://", url.scheme());
    if !url.username().is_empty() || url.password().is_some() {
        shown.push_str("***@");
    }
    shown.push_str(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        shown.push_str(&format!(":{port}"));
    }
    shown.push_str(url.path());
    if url.query().is_some() {
        shown.push_str("?***");
    }
    shown
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.shown).finish()
    }
}

impl FromValue for RedisUrl {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let given =
            text(value).ok_or_else(|| Complaint::not_kind(value, "a URL", REDIS_URL_FORMS))?;
        if given == "embedded" {
            let what = "is `embedded`, which only `redis.url` can be";
            return Err(Complaint::new(what, REDIS_URL_FORMS));
        }
        Self::parse(given, REDIS_URL_FORMS)
    }
}

impl FromValue for RedisTarget {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        match text(value) {
            None => Err(Complaint::not_kind(value, "a URL", REDIS_FORMS)),
            Some("embedded") => Ok(Self::Embedded),
            Some(given) => RedisUrl::parse(given, REDIS_FORMS).map(Self::Url),
        }
    }
}

schema!(RedisUrl, { "type": "string", "pattern": "^(rediss?|(redis\\+)?unix)://.+" });
schema!(RedisTarget, {
    "type": "string",
    "pattern": "^(embedded|(rediss?|(redis\\+)?unix)://.+)$"
});

/// The address and port that the gateway listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromValue for Listen {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write address:port, such as 127.0.0.1:18789 or [::1]:18789";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "an address", FORMS))?;
        let local = given
            .strip_prefix("localhost:")
            .and_then(|port| port.parse::<u16>().ok());
        match local {
            Some(port) => Ok(Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
            None => given
                .parse()
                .map(Self)
                .map_err(|_| Complaint::not(value, "an address with a port", FORMS)),
        }
    }
}

schema!(Listen, { "type": "string", "pattern": "^.+:[0-9]{1,5}$" });

/// Where the Docker Engine answers: `unix:///path`, `tcp://host:port` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerHost(String);

impl DockerHost {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for DockerHost {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write unix:///var/run/docker.sock or tcp://host:port";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a URL", FORMS))?;
        let url = plain_url(given, FORMS)?;
        let usable = match url.scheme() {
            "unix" => url.host_str().is_none_or(str::is_empty) && url.path().len() > 1,
            "tcp" | "http" => url.host_str().is_some_and(|host| !host.is_empty()),
            _ => false,
        };
        if usable {
            Ok(Self(given.to_owned()))
        } else {
            Err(Complaint::not(
                value,
                "an address of a Docker Engine",
                FORMS,
            ))
        }
    }
}

schema!(DockerHost, { "type": "string", "pattern": "^(unix|tcp|http)://.+" });

/// An `http://` or `https://` address without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// As it was written, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for HttpUrl {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write http://host:port or https://host:port";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a URL", FORMS))?;
        let url = plain_url(given, FORMS)?;
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if matches!(url.scheme(), "http" | "https") && has_host && is_plain {
            Ok(Self(given.trim_end_matches('/').to_owned()))
        } else {
            Err(Complaint::not(
                value,
                "a plain http:// or https:// URL",
                FORMS,
            ))
        }
    }
}

schema!(HttpUrl, { "type": "string", "pattern": "^https?://.+" });

/// Where a collector takes traces by OTLP over HTTP: an `http://` address without user and
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpUrl(String);

impl OtlpUrl {
    /// As it was written, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for OtlpUrl {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write http://host:4318, where a collector takes OTLP over HTTP";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a URL", FORMS))?;
        let url = plain_url(given, FORMS)?;
        if url.scheme() == "https" {
            let mend = "run a collector on this host or network, and name it as http://host:4318";
            return Err(Complaint::new(
                "needs TLS, which traces are not sent with",
                mend,
            ));
        }
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if url.scheme() == "http" && has_host && is_plain {
            Ok(Self(given.trim_end_matches('/').to_owned()))
        } else {
            Err(Complaint::not(value, "a plain http:// URL", FORMS))
        }
    }
}

schema!(OtlpUrl, { "type": "string", "pattern": "^http://.+" });

/// A URL that holds no password. The complaint about one that does not repeat it.
fn plain_url(given: &str, forms: &str) -> Result<Url, Complaint> {
    let url =
        Url::parse(given).map_err(|why| Complaint::new(format!("is not a URL ({why})"), forms))?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(Complaint::new(
            "has a user or password in it",
            "take what stands before the @ out",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis(given: &str) -> Result<RedisTarget, Complaint> {
        RedisTarget::from_value(&Value::from(given))
    }

    #[test]
    fn all_forms_of_a_redis_url() {
        for (given, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://localhost", "redis://localhost"),
            (
                "rediss://u:hunter2@r.example:6380/3",
                "rediss://***@r.example:6380/3",
            ),
            ("redis://:hunter2@[::1]:6379/", "redis://***@[::1]:6379/"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            (
                "redis+unix:///run/redis.sock?pass=hunter2",
                "redis+unix:///run/redis.sock?***",
            ),
            ("embedded", "embedded"),
        ] {
            let target = redis(given).expect(given);
            assert_eq!(target.to_string(), shown);
            assert!(!format!("{target:?}").contains("hunter2"));
        }
    }

    #[test]
    fn wrong_redis_urls_are_not_repeated() {
        for given in [
            "hunter2",
            "reddis://:hunter2@host",
            "redis://:hunter2@",
            "redis://:hun#ter2@host",
            "redis://:hunter2@host:port",
            "redis://:hunter2@host/zero",
            "unix://hunter2",
            "",
        ] {
            let complaint = redis(given).expect_err(given);
            let said = format!("{complaint:?}");
            assert!(
                !said.contains("hunter2") && !said.contains("ter2"),
                "{said}"
            );
        }
    }

    #[test]
    fn listening_addresses() {
        let listen = |given: &str| Listen::from_value(&Value::from(given)).map(|l| l.0.to_string());
        assert_eq!(listen("localhost:80").expect("known host"), "127.0.0.1:80");
        assert_eq!(listen("[::]:1").expect("IPv6"), "[::]:1");
        for wrong in [
            "18789",
            ":18789",
            "127.0.0.1",
            "127.0.0.1:99999",
            "example.org:80",
        ] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn docker_and_gateway_addresses() {
        for good in [
            "unix:///var/run/docker.sock",
            "tcp://10.0.0.1:2375",
            "http://d:2375",
        ] {
            assert!(DockerHost::from_value(&Value::from(good)).is_ok(), "{good}");
        }
        for wrong in [
            "unix://",
            "ssh://host",
            "/var/run/docker.sock",
            "tcp://u:p@host:1",
        ] {
            assert!(
                DockerHost::from_value(&Value::from(wrong)).is_err(),
                "{wrong}"
            );
        }
        let url = HttpUrl::from_value(&Value::from("http://172.18.0.1:18789/")).expect("a URL");
        assert_eq!(url.as_str(), "http://172.18.0.1:18789");
        for wrong in ["172.18.0.1:18789", "ftp://x", "http://u:p@x", "http://x/?q"] {
            assert!(HttpUrl::from_value(&Value::from(wrong)).is_err(), "{wrong}");
        }
        let url = OtlpUrl::from_value(&Value::from("http://collector:4318/")).expect("a URL");
        assert_eq!(url.as_str(), "http://collector:4318");
        for wrong in ["collector:4318", "https://x", "http://u:p@x", "http://x/?q"] {
            assert!(OtlpUrl::from_value(&Value::from(wrong)).is_err(), "{wrong}");
        }
    }
}
