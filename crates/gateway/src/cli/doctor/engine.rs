//! The Docker Engine: daemon, image, network, and what containers must reach.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::Docker;
use ccpool::RedisAddress;
use ccpool::config::{Config, RedisTarget};
use ccpool::image::CLAUDE_VERSION_LABEL;
use ccpool::runtime::DockerRuntime;
use reqwest::Url;
use tokio::net::{TcpListener, TcpStream};

use super::redis;
use super::report::Check;
use crate::cli::docker_client;
use crate::cli::gateway_client::GatewayClient;

/// A local daemon answers at once.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks everything that a container needs to start and to reach.
pub(super) async fn examine(config: &Config) -> Vec<Check> {
    const NAME: &str = "Docker";
    const MEND: &str = "start Docker, set docker.host, or use `runtime: process` (no isolation)";
    let asked = tokio::time::timeout(TIMEOUT, async {
        let docker = docker_client::connect(config).await?;
        let version = docker.version().await?;
        Ok::<_, bollard::errors::Error>((docker, version))
    });
    let (docker, version) = match asked.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return vec![Check::failed(
                NAME,
                format!("the Engine does not answer: {error}"),
                MEND,
            )];
        }
        Err(_) => {
            return vec![Check::failed(
                NAME,
                "the Engine does not answer in time",
                MEND,
            )];
        }
    };
    let version = version
        .version
        .unwrap_or_else(|| "of unknown version".to_owned());
    let mut checks = vec![Check::ok(NAME, format!("Engine {version} answers"))];
    checks.push(image(&docker, config).await);
    checks.extend(network(config).await);
    checks
}

async fn image(docker: &Docker, config: &Config) -> Check {
    const NAME: &str = "image";
    let (image, wanted) = (config.image.as_str(), &config.claude.version);
    let found = match docker.inspect_image(image).await {
        Ok(found) => found,
        Err(error) => {
            let mend = "build it with `ccpool image build`, or correct `image`";
            return Check::failed(NAME, format!("{image} is not there: {error}"), mend);
        }
    };
    let labels = found
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    match labels.get(CLAUDE_VERSION_LABEL) {
        Some(held) if held == wanted => Check::ok(NAME, format!("{image} holds claude {held}")),
        Some(held) => Check::failed(
            NAME,
            format!("{image} holds claude {held}, and claude.version is {wanted}"),
            "build it anew with `ccpool image build`, or correct claude.version",
        ),
        None => Check::failed(
            NAME,
            format!("{image} has no label {CLAUDE_VERSION_LABEL}"),
            "build it with `ccpool image build`",
        ),
    }
}

async fn network(config: &Config) -> Vec<Check> {
    const NAME: &str = "network";
    let asked = async {
        let docker = DockerRuntime::connect(config, None).await?;
        docker.prepare().await
    };
    let host = match asked.await {
        Ok(host) => host.ip,
        Err(error) => return vec![Check::failed(NAME, error.to_string(), error.mend())],
    };
    let found = format!("{}, this host is {host} on it", config.docker.network);
    vec![
        Check::ok(NAME, found),
        redis_inside(config, host).await,
        tools_inside(config, host).await,
    ]
}

/// A host reaches its own addresses as its containers do, so asking from here tells whether Redis
/// listens where containers look for it.
async fn redis_inside(config: &Config, host: IpAddr) -> Check {
    const NAME: &str = "Redis for containers";
    if config.redis.url == RedisTarget::Embedded {
        return Check::ok(NAME, "by the socket of the embedded server");
    }
    let address = match RedisAddress::resolve(config, None, Some(host)) {
        Ok(address) => address,
        Err(error) => return Check::failed(NAME, error.to_string(), "correct redis.url"),
    };
    if let Some(dir) = &address.socket_dir {
        return Check::ok(NAME, format!("by the socket in {}", dir.display()));
    }
    match redis::connect(address.container_url.expose()).await {
        Ok(_) => Check::ok(
            NAME,
            format!("answers at the address that containers are given ({host})"),
        ),
        Err(why) => Check::failed(
            NAME,
            format!("does not answer at the address that containers are given ({host}): {why}"),
            format!(
                "let Redis listen on {host} too (`bind`, with a password), reach it through a \
                 Unix socket, set redis.containerUrl, or set redis.url to `embedded`"
            ),
        ),
    }
}

/// Whether somebody takes connections at this URL. None: its name is not known here, as containers
/// may know it.
async fn listens(url: &str) -> Option<bool> {
    let url = Url::parse(url).ok()?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let host = host.trim_matches(['[', ']']);
    let addresses = tokio::net::lookup_host((host, port)).await.ok()?;
    for address in addresses {
        let connected = tokio::time::timeout(TIMEOUT, TcpStream::connect(address));
        if matches!(connected.await, Ok(Ok(_))) {
            return Some(true);
        }
    }
    Some(false)
}

async fn tools_inside(config: &Config, host: IpAddr) -> Check {
    const NAME: &str = "tools for containers";
    if let Some(url) = &config.docker.gateway_url {
        let at = format!("at {} (docker.gatewayUrl)", url.as_str());
        // Before it runs, nobody listens there.
        let runs = GatewayClient::finds_one(&config.http).await;
        return match runs && listens(url.as_str()).await == Some(false) {
            false => Check::ok(NAME, at),
            true => Check::failed(
                NAME,
                format!("a gateway runs, and nothing listens {at}"),
                "let it listen there (http.listen), or correct docker.gatewayUrl, or leave it out",
            ),
        };
    }
    match TcpListener::bind(SocketAddr::new(host, 0)).await {
        Ok(_) => Check::ok(NAME, format!("the gateway can listen on {host}")),
        Err(error) => Check::failed(
            NAME,
            format!("the gateway cannot listen on {host}: {error}"),
            "run it on the Engine's own host, or set docker.gatewayUrl",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn somebody_listens_or_nobody_does() {
        let listener = TcpListener::bind("[::1]:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        assert_eq!(listens(&url).await, Some(true));
        drop(listener);
        assert_eq!(listens(&url).await, Some(false));
        assert_eq!(listens("no URL").await, None);
    }
}
