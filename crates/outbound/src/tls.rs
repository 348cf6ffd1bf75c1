use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::exchange::ExchangeError;

/// TLS with the certificate authorities that this host trusts. They are read when they are first
/// needed.
#[derive(Default)]
pub struct Tls(OnceCell<Arc<ClientConfig>>);

impl Tls {
    /// TLS that trusts these authorities alone.
    pub fn trusting(roots: RootCertStore) -> Self {
        Self(OnceCell::new_with(Some(config(roots))))
    }

    /// # Errors
    /// This host trusts nobody, or the handshake fails: among other reasons because the server is not
    /// the one that was meant.
    pub(crate) async fn handshake(
        &self,
        server: ServerName<'static>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ExchangeError> {
        let config = self.0.get_or_try_init(of_this_host).await?;
        TlsConnector::from(Arc::clone(config))
            .connect(server, stream)
            .await
            .map_err(ExchangeError::Tls)
    }
}

async fn of_this_host() -> Result<Arc<ClientConfig>, ExchangeError> {
    let read = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = read.map_err(|error| ExchangeError::Tls(io::Error::other(error)))?;
    let mut roots = RootCertStore::empty();
    // A store may hold some that nobody can use; those that can be used are enough.
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, errors = ?found.errors, "certificate authorities were read");
    if roots.is_empty() {
        return Err(ExchangeError::NoAuthorities);
    }
    Ok(config(roots))
}

fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the versions of TLS that are on by default")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
