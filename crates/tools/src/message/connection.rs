//! One HTTP request on a connection of its own.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

/// Of an answer's body, enough to find how long it asks to wait.
const BEGINNING: usize = 16_384;

/// Connects, with TLS to what is https. No proxy is used, no redirect is followed.
#[derive(Clone, Default)]
pub(super) struct Connector {
    /// Whom it trusts instead of whom the machine trusts.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests trust their own"))]
    roots: Option<Arc<RootCertStore>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty where it is longer than is looked at.
    pub(super) beginning: Vec<u8>,
}

/// Why nothing came back. Names no URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    #[error("the URL has no host, or no port is known for it")]
    NoHost,
    #[error("no connection")]
    Connect(#[source] std::io::Error),
    #[error("no TLS")]
    Tls(#[source] std::io::Error),
    #[error("no HTTP")]
    Http(#[from] hyper::Error),
}

impl Connector {
    /// Sends the request to the URL, whatever target and host it names itself.
    pub(super) async fn send(
        &self,
        url: &Url,
        mut request: Request<Bytes>,
    ) -> Result<Answered, NotSent> {
        let host = match url.host().ok_or(NotSent::NoHost)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let port = url.port_or_known_default().ok_or(NotSent::NoHost)?;
        let target = &url[Position::BeforePath..Position::AfterQuery];
        *request.uri_mut() = Uri::try_from(target).map_err(|_| NotSent::NoHost)?;
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let authority = HeaderValue::from_str(authority).map_err(|_| NotSent::NoHost)?;
        request.headers_mut().insert(HOST, authority);
        let request = request.map(Full::new);

        let tcp = TcpStream::connect((host.as_str(), port));
        let tcp = tcp.await.map_err(NotSent::Connect)?;
        if url.scheme() != "https" {
            return exchange(tcp, request).await;
        }
        let name = ServerName::try_from(host).map_err(|_| NotSent::NoHost)?;
        let tls = TlsConnector::from(self.tls()).connect(name, tcp);
        exchange(tls.await.map_err(NotSent::Tls)?, request).await
    }

    fn tls(&self) -> Arc<ClientConfig> {
        #[cfg(test)]
        if let Some(roots) = &self.roots {
            return tls_with(RootCertStore::clone(roots));
        }
        static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        Arc::clone(TLS.get_or_init(|| tls_with(of_this_machine())))
    }
}

/// The certificates that the machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` go before them).
fn of_this_machine() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates that this machine trusts cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("this machine trusts no certificate: install ca-certificates");
    }
    if unusable > 0 {
        tracing::debug!(
            unusable,
            "certificates that this machine trusts are not understood"
        );
    }
    roots
}

fn tls_with(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answered, NotSent>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        // The status decides; a body that is too long or breaks off says nothing more.
        let beginning = match Limited::new(body, BEGINNING).collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(_) => Vec::new(),
        };
        Ok(Answered {
            status: head.status,
            headers: head.headers,
            beginning,
        })
    };
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    let broken = tokio::select! {
        biased;
        answer = &mut answer => return answer,
        ended = &mut connection => ended,
    };
    // The connection has ended; what it brought can still be read.
    match (answer.await, broken) {
        (Err(_), Err(error)) => Err(error.into()),
        (answer, _) => answer,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn request() -> Request<Bytes> {
        Request::post("/").body(Bytes::from_static(b"hi")).unwrap()
    }

    /// Answers one connection with these bytes.
    async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, answer: &[u8]) -> String {
        let (mut tcp, _) = listener.accept().await.unwrap();
        match tls {
            None => talk(&mut tcp, answer).await,
            Some(tls) => match tls.accept(tcp).await {
                Ok(mut tls) => talk(&mut tls, answer).await,
                Err(error) => error.to_string(),
            },
        }
    }

    async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &[u8]) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(b"hi") {
            if stream.read_buf(&mut heard).await.unwrap() == 0 {
                break;
            }
        }
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        String::from_utf8(heard).unwrap()
    }

    async fn exchanged(scheme: &str, answer: &[u8]) -> (Result<Answered, NotSent>, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = (scheme != "http").then(|| TlsAcceptor::from(Arc::new(server)));
        // A scheme of these tests: https to a server that nobody trusts.
        let (scheme, roots) = match scheme {
            "untrusted" => ("https", RootCertStore::empty()),
            scheme => (scheme, roots),
        };
        let url = Url::parse(&format!("{scheme}://localhost:{port}/a/b?c=d")).unwrap();
        let connector = Connector {
            roots: Some(Arc::new(roots)),
        };
        tokio::join!(
            connector.send(&url, request()),
            serve(listener, tls, answer)
        )
    }

    #[tokio::test]
    async fn it_speaks_http_with_and_without_tls() {
        for scheme in ["http", "https"] {
            let answer = b"HTTP/1.1 429 Slow\r\ncontent-length: 2\r\nretry-after: 5\r\n\r\nok";
            let (answered, heard) = exchanged(scheme, answer).await;
            let answered = answered.unwrap();
            assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(answered.headers["retry-after"], "5");
            assert_eq!(answered.beginning, b"ok");
            assert!(heard.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{heard}");
            assert!(heard.contains("host: localhost:"), "{heard}");
        }
    }

    #[tokio::test]
    async fn it_tells_nothing_to_a_server_that_is_not_trusted() {
        let (answered, heard) = exchanged("untrusted", b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(matches!(answered, Err(NotSent::Tls(_))), "{answered:?}");
        assert!(!heard.contains("POST"), "{heard}");
    }

    #[tokio::test]
    async fn a_body_without_end_keeps_nobody() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat();
        let answer = [head, chunk.repeat(3)].concat();
        let (answered, _) = exchanged("http", &answer).await;
        let answered = answered.unwrap();
        assert_eq!(
            (answered.status, answered.beginning.len()),
            (StatusCode::OK, 0)
        );
    }

    #[tokio::test]
    async fn what_is_no_http_is_an_error() {
        for answer in [&b""[..], b"220 mail.example.com ESMTP\r\n", b"HTTP/1.1 200"] {
            let (answered, _) = exchanged("http", answer).await;
            assert!(matches!(answered, Err(NotSent::Http(_))), "{answered:?}");
        }
    }
}
