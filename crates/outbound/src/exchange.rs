use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Url};

use crate::network::{Network, System};
use crate::tls::Tls;

/// How long one address may take to answer before the next one is tried.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer heads of answers are refused.
const HEAD_BYTES: usize = 64 << 10;

/// A request, as it is sent to one server.
#[derive(Debug)]
pub struct Outgoing {
    /// How.
    pub method: Method,
    /// `http` or `https`, with a host.
    pub url: Url,
    /// `Host` and `Content-Length` are added.
    pub headers: HeaderMap,
    /// Empty for none.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It has no host, or one that cannot be asked.
    #[error("the URL cannot be requested")]
    Url,
    /// The name was not found, or none of its addresses took a connection.
    #[error("no connection was made")]
    Connect(#[source] io::Error),
    /// Nobody's certificate could be believed.
    #[error("this host has no certificate authorities")]
    NoAuthorities,
    /// Among other reasons because the server is not the one that was meant.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// What came is no HTTP, or the connection broke.
    #[error("the server does not keep to HTTP")]
    Http(#[source] hyper::Error),
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Incoming {
    /// Status and headers.
    pub head: http::response::Parts,
    body: hyper::body::Incoming,
    /// Dropped with the answer, and with it the connection.
    _connection: JoinSet<()>,
}

/// Sends a request to the first of these addresses that takes a connection. No name is looked up and
/// no redirect is followed. The caller limits the time.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn exchange(
    network: &dyn Network,
    tls: &Tls,
    addresses: &[SocketAddr],
    request: Outgoing,
) -> Result<Incoming, ExchangeError> {
    let stream = connect(network, addresses).await?;
    if request.url.scheme() == "https" {
        let stream = tls.handshake(server_name(&request.url)?, stream).await?;
        send(stream, request).await
    } else {
        send(stream, request).await
    }
}

/// Sends a request to wherever its host is found now: for URLs that a person has configured.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn ask(tls: &Tls, request: Outgoing) -> Result<Incoming, ExchangeError> {
    let url = &request.url;
    let found = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => System.lookup(name).await.map_err(ExchangeError::Connect)?,
        None => return Err(ExchangeError::Url),
    };
    let port = url.port_or_known_default().ok_or(ExchangeError::Url)?;
    let at = |address| SocketAddr::new(address, port);
    let addresses: Vec<SocketAddr> = found.into_iter().map(at).collect();
    exchange(&System, tls, &addresses, request).await
}

async fn connect(
    network: &dyn Network,
    addresses: &[SocketAddr],
) -> Result<TcpStream, ExchangeError> {
    let mut failure = io::Error::other("there is no address");
    for address in addresses {
        match timeout(CONNECT, network.connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ExchangeError::Connect(failure))
}

async fn send<S>(stream: S, outgoing: Outgoing) -> Result<Incoming, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(outgoing)?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ExchangeError::Http)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // What goes wrong here, who waits for the answer or reads its body is told.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the web ended");
        }
    });
    let answer = sender.send_request(request).await;
    let (head, body) = answer.map_err(ExchangeError::Http)?.into_parts();
    Ok(Incoming {
        head,
        body,
        _connection: driver,
    })
}

fn request(outgoing: Outgoing) -> Result<Request<Full<Bytes>>, ExchangeError> {
    let Outgoing {
        method,
        url,
        headers,
        body,
    } = outgoing;
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|_| ExchangeError::Url)?;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(body))
        .map_err(|_| ExchangeError::Url)?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

fn server_name(url: &Url) -> Result<ServerName<'static>, ExchangeError> {
    match url.host() {
        Some(Host::Domain(name)) => {
            ServerName::try_from(name.to_owned()).map_err(|_| ExchangeError::Url)
        }
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(address.into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(address.into())),
        None => Err(ExchangeError::Url),
    }
}

impl Incoming {
    /// What the server says that its body measures, in bytes.
    pub fn announced_bytes(&self) -> Option<u64> {
        let length = self.head.headers.get(CONTENT_LENGTH)?;
        length.to_str().ok()?.parse().ok()
    }

    /// The body, at most `limit` bytes of it, and whether there was more.
    ///
    /// # Errors
    /// [`ExchangeError::Http`] when the connection breaks before the body has ended.
    pub async fn read(mut self, limit: usize) -> Result<(Vec<u8>, bool), ExchangeError> {
        let mut read = Vec::new();
        while let Some(data) = self.next().await? {
            let room = limit - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok((read, true));
            }
        }
        Ok((read, false))
    }

    /// The next piece of the body as it arrives, or `None` when the body has ended. The caller limits
    /// the time. Dropped while it waits, it loses nothing.
    ///
    /// # Errors
    /// [`ExchangeError::Http`] when the connection breaks before the body has ended.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        while let Some(frame) = self.body.frame().await {
            // Trailers say nothing here.
            if let Ok(data) = frame.map_err(ExchangeError::Http)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
