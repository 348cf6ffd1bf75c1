//! Connections to Redis. Each task has its own, and makes a new one after every failure.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, RedisResult};
use tokio::time::{sleep, timeout};

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an unacknowledged packet may be out before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the Redis address in CCPOOL_BOOT cannot be used; it must be redis://, unix:// or redis+unix://"
)]
pub(crate) struct BadAddress(#[source] RedisError);

/// Knows the address.
#[derive(Debug, Clone)]
pub(crate) struct Link(Client);

impl Link {
    pub(crate) fn new(url: &str) -> Result<Self, BadAddress> {
        let info = url.into_connection_info().map_err(BadAddress)?;
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_user_timeout(USER_TIMEOUT);
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        let info = info.set_tcp_settings(tcp).set_redis_settings(login);
        Client::open(info).map(Self).map_err(BadAddress)
    }

    /// A connection for commands that answer within `response`.
    pub(crate) async fn connect(&self, response: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response));
        self.0
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// A connection for subscriptions.
    pub(crate) async fn subscribe(&self) -> RedisResult<PubSub> {
        match timeout(CONNECT, self.0.get_async_pubsub()).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

/// Pauses between attempts: 50 ms, doubling to 1 s.
#[derive(Debug)]
pub(crate) struct Backoff {
    what: &'static str,
    next: Duration,
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    /// `what`: for the log.
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            next: Self::FIRST,
            failures: 0,
        }
    }

    /// Pauses. Logs the first failure of a row.
    pub(crate) async fn after(&mut self, error: &RedisError) {
        if self.failures == 0 {
            // The category, not the text: a server's text may repeat what it was sent.
            let category = error.code().unwrap_or_else(|| error.category());
            crate::log::warn(format_args!(
                "{}: Redis failed ({category}); trying again",
                self.what
            ));
        }
        self.failures += 1;
        sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }

    /// It works again.
    pub(crate) fn over(&mut self) {
        if self.failures > 0 {
            crate::log::info(format_args!(
                "{}: Redis answers again after {} attempts",
                self.what, self.failures
            ));
        }
        *self = Self::new(self.what);
    }
}
