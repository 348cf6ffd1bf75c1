//! A client of the Docker Engine, for what is not a pool's business: images and checks.

use bollard::Docker;
use bollard::errors::Error;
use ccpool::config::Config;

/// Connects to the Engine that the configuration names, or to Docker's default one.
pub(super) async fn connect(config: &Config) -> Result<Docker, Error> {
    let docker = match &config.docker.host {
        Some(host) => Docker::connect_with_host(host.as_str())?,
        None => Docker::connect_with_defaults()?,
    };
    docker.negotiate_version().await
}
