//! Where the gateway listens, and by which address containers reach its tools.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ccpool::config::{Config, RuntimeKind};
use tokio::net::TcpListener;

use super::error::GatewayError;

/// Binds, and tells a taken address apart.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => GatewayError::AddressTaken { address },
            _ => GatewayError::Listen { address, source },
        })
}

/// How containers reach `/mcp`.
#[derive(Debug)]
pub(super) struct ToolsAddress {
    /// As containers are told it.
    pub(super) url: String,
    /// The listener for it, if the main one does not serve it.
    pub(super) listener: Option<TcpListener>,
}

impl ToolsAddress {
    /// `main`: where the main listener is, if there is one. `host`: this host on the containers'
    /// network.
    ///
    /// # Errors
    /// When nothing can be bound there.
    pub(super) async fn choose(
        config: &Config,
        main: Option<SocketAddr>,
        host: Option<IpAddr>,
    ) -> Result<Self, GatewayError> {
        match config.runtime {
            RuntimeKind::Docker => {
                if let Some(url) = &config.docker.gateway_url {
                    return Ok(Self {
                        url: format!("{}/mcp", url.as_str()),
                        listener: None,
                    });
                }
                let ip = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                // The one that was taken, where the configuration leaves the choice.
                let port = main.map_or(config.http.listen.port(), |main| main.port());
                Self::at(ip, port, main).await
            }
            RuntimeKind::Process => match main {
                Some(main) if main.ip().is_unspecified() => Ok(Self::served_by_main(
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), main.port()),
                )),
                Some(main) => Ok(Self::served_by_main(main)),
                None => Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, None).await,
            },
        }
    }

    /// Listens on `ip`. The port is the main one's where that is free: containers outlive a
    /// gateway that restarts, and look for its tools where they were.
    async fn at(ip: IpAddr, port: u16, main: Option<SocketAddr>) -> Result<Self, GatewayError> {
        if let Some(main) = main
            && (main.ip() == ip || main.ip().is_unspecified())
        {
            return Ok(Self::served_by_main(SocketAddr::new(ip, main.port())));
        }
        let listener = match bind(SocketAddr::new(ip, port)).await {
            Err(GatewayError::AddressTaken { address }) => {
                tracing::warn!(%address, "taken; tools are served on another port, which \
                    containers that outlive this gateway will not find again");
                bind(SocketAddr::new(ip, 0)).await?
            }
            bound => bound?,
        };
        let address = listener
            .local_addr()
            .map_err(|source| GatewayError::Listen {
                address: SocketAddr::new(ip, port),
                source,
            })?;
        Ok(Self {
            url: format!("http://{address}/mcp"),
            listener: Some(listener),
        })
    }

    fn served_by_main(address: SocketAddr) -> Self {
        Self {
            url: format!("http://{address}/mcp"),
            listener: None,
        }
    }
}

/// The host names in these URLs and addresses, as a `Host` header has them.
pub(super) fn host_names(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?;
    Some(
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Config {
        Config {
            runtime: RuntimeKind::Process,
            ..Config::default()
        }
    }

    #[tokio::test]
    async fn processes_use_the_main_listener() {
        let main = Some("127.0.0.1:4000".parse().unwrap());
        let tools = ToolsAddress::choose(&process(), main, None).await.unwrap();
        assert_eq!(tools.url, "http://127.0.0.1:4000/mcp");
        assert!(tools.listener.is_none());
        let main = Some("0.0.0.0:4000".parse().unwrap());
        let tools = ToolsAddress::choose(&process(), main, None).await.unwrap();
        assert_eq!(tools.url, "http://127.0.0.1:4000/mcp");
    }

    #[tokio::test]
    async fn without_a_main_listener_there_is_one_for_tools() {
        let tools = ToolsAddress::choose(&process(), None, None).await.unwrap();
        let address = tools.listener.unwrap().local_addr().unwrap();
        assert_eq!(tools.url, format!("http://{address}/mcp"));
    }

    #[tokio::test]
    async fn docker_listens_on_its_network_with_the_main_port_if_free() {
        let mut config = Config::default();
        let taken = TcpListener::bind("127.0.0.2:0").await.unwrap();
        config.http.listen = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            taken.local_addr().unwrap().port(),
        );
        let host = |ip: &str| Some(ip.parse::<IpAddr>().unwrap());
        let main = Some(config.http.listen);
        let elsewhere = ToolsAddress::choose(&config, main, host("127.0.0.2"))
            .await
            .unwrap();
        let address = elsewhere.listener.unwrap().local_addr().unwrap();
        assert_ne!(address.port(), config.http.listen.port());
        let same = ToolsAddress::choose(&config, main, host("127.0.0.3"))
            .await
            .unwrap();
        let port = config.http.listen.port();
        assert_eq!(same.url, format!("http://127.0.0.3:{port}/mcp"));
        // Also where the main one was left to choose.
        drop(same);
        config.http.listen.set_port(0);
        let same = ToolsAddress::choose(&config, main, host("127.0.0.3"))
            .await
            .unwrap();
        assert_eq!(same.url, format!("http://127.0.0.3:{port}/mcp"));
    }

    #[test]
    fn host_names_come_without_port_and_brackets() {
        assert_eq!(
            host_names("http://172.20.0.1:18789/mcp").as_deref(),
            Some("172.20.0.1")
        );
        assert_eq!(host_names("http://[::1]:1/mcp").as_deref(), Some("::1"));
        assert_eq!(host_names("http://gateway/mcp").as_deref(), Some("gateway"));
    }
}
