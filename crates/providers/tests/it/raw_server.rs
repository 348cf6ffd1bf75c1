//! A server on loopback that sends bytes whatever it is asked.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it does on each connection.
#[derive(Clone)]
pub(crate) enum Says {
    /// These bytes, then it hangs up.
    Bytes(Vec<u8>),
    /// These bytes, then these others for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// These bytes, and then nothing more; the connection stays open.
    Stall(Vec<u8>),
}

/// The server. It ends when it is dropped.
pub(crate) struct RawServer {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl RawServer {
    pub(crate) async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, says.clone()));
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Whoever has read enough goes away in the middle, so writing may fail.
async fn answer(mut stream: TcpStream, says: Says) {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let (Says::Bytes(first) | Says::Endless(first, _) | Says::Stall(first)) = &says;
    let mut sent = stream.write_all(first).await;
    match says {
        Says::Bytes(_) => {
            let _ = stream.shutdown().await;
        }
        Says::Endless(_, more) => {
            while sent.is_ok() {
                sent = stream.write_all(&more).await;
            }
        }
        Says::Stall(_) => {
            // Until the other side hangs up.
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
        }
    }
}
