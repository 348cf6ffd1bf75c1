//! A small web server on loopback for tests, which says what bytes it sends, and a configuration for
//! them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ccpool::config::{Config, LoadOptions, Overrides};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
pub(super) enum Reply {
    /// These bytes, then the connection ends.
    Bytes(Vec<u8>),
    /// These bytes, then these others for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, and then nothing more; the connection stays open.
    Stall(Vec<u8>),
}

impl Reply {
    /// An answer with a status line, some headers and a body.
    pub(super) fn with(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::Bytes([head.as_bytes(), body].concat())
    }

    /// A body of this type.
    pub(super) fn ok(content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::with("200 OK", &format!("content-type: {content_type}\r\n"), body)
    }

    /// A redirect.
    pub(super) fn to(location: &str) -> Self {
        Self::with("302 Found", &format!("location: {location}\r\n"), "")
    }
}

/// The server. It ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Server {
    /// Answers each request by its path and query.
    pub(super) async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(reply)).await
    }

    /// The same over TLS.
    pub(super) async fn start_tls(
        tls: ServerConfig,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(TlsAcceptor::from(Arc::new(tls))), Arc::new(reply)).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        reply: Arc<dyn Fn(&str) -> Reply + Send + Sync>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, reply, seen) = (tls.clone(), Arc::clone(&reply), Arc::clone(&seen));
                connections.spawn(async move {
                    match tls {
                        None => answer(stream, &*reply, &seen).await,
                        Some(tls) => {
                            // Who does not trust this server has hung up.
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &*reply, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            requests,
            _serving: serving,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far, with head and body, as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: &(dyn Fn(&str) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) {
    let mut read = Vec::new();
    while !is_whole(&read) {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let request = String::from_utf8_lossy(&read).into_owned();
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    // Whoever has read enough goes away in the middle.
    match reply(&target) {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Endless(head, more) => {
            let mut sent = stream.write_all(&head).await;
            while sent.is_ok() {
                sent = stream.write_all(&more).await;
            }
        }
        Reply::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            // Until the other side hangs up.
            let _ = stream.read(&mut [0]).await;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.split("content-length:").nth(1).map_or(0, |rest| {
        rest.lines().next().unwrap().trim().parse().unwrap()
    });
    body.len() >= length
}

/// A configuration with these keys set.
pub(super) fn configured(keys: &[(&str, &str)]) -> Config {
    let variable = |key: &str| format!("CCPOOL_{}", key.to_uppercase().replace('.', "__"));
    let env: Vec<_> = keys
        .iter()
        .map(|(key, value)| (variable(key), (*value).to_owned()))
        .collect();
    let options = LoadOptions {
        path: None,
        env,
        overrides: Overrides::new(),
        working_dir: "/nowhere".into(),
    };
    Config::load(options).expect("a configuration").config
}
