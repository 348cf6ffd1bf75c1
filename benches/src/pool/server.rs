//! A Redis of the benchmark's own: on a Unix socket, as gateways start it, and over TCP; with a
//! password, without persistence.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tokio::process::Command;

use crate::site::Site;

const PASSWORD: &str = "bench";
const START: Duration = Duration::from_secs(10);

/// A running server; it ends with the site.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pid: u32,
    url: String,
    tcp: String,
}

impl Server {
    /// Starts one and waits until it answers. `name` tells it from others of this run.
    pub(crate) async fn start(site: &mut Site, program: &Path, name: &str) -> Result<Self> {
        let folder = site.folder(name)?;
        let socket = folder.join("s");
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let configuration = folder.join("redis.conf");
        let text = format!(
            "bind 127.0.0.1\nport {port}\nunixsocket {}\ndir {}\nsave \"\"\nappendonly no\nrequirepass {PASSWORD}\n\
             maxclients 4000\n",
            socket.display(),
            folder.display()
        );
        std::fs::write(&configuration, text)?;
        let mut command = Command::new(program);
        command.arg(&configuration);
        let pid = site.start(name, &mut command)?;
        let server = Self {
            pid,
            url: format!("unix://{}?pass={PASSWORD}", socket.display()),
            tcp: format!("redis://:{PASSWORD}@127.0.0.1:{port}"),
        };
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        let up = async {
            loop {
                poll.tick().await;
                if server.connect().await.is_ok() {
                    return;
                }
            }
        };
        let up = tokio::time::timeout(START, up).await;
        up.context("redis-server did not come up in time")?;
        Ok(server)
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same server, over TCP.
    pub(crate) fn over_tcp(&self) -> Self {
        Self {
            pid: self.pid,
            url: self.tcp.clone(),
            tcp: self.tcp.clone(),
        }
    }

    /// Its address, for the client.
    pub(crate) fn info(&self) -> Result<ConnectionInfo> {
        Ok(self.url.as_str().into_connection_info()?)
    }

    /// One more connection.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = Client::open(self.info()?)?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    /// One more of the kind that gateways use.
    pub(crate) async fn connect_as_gateways_do(&self) -> Result<ConnectionManager> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(Duration::from_secs(5)));
        let client = Client::open(self.info()?)?;
        Ok(ConnectionManager::new_with_config(client, config).await?)
    }

    /// A connection of one of the users.
    pub(crate) async fn connect_as(
        &self,
        user: &str,
        password: &str,
    ) -> Result<MultiplexedConnection> {
        let login = RedisConnectionInfo::default()
            .set_username(user)
            .set_password(password);
        let client = Client::open(self.info()?.set_redis_settings(login))?;
        // It waits in Redis for long.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(client
            .get_multiplexed_async_connection_with_config(&config)
            .await?)
    }

    /// It is gone at once.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// It goes on existing, and does nothing.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// It goes on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).context("a process id")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal}"))
    }
}
