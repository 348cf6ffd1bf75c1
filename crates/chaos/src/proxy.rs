//! A TCP proxy whose connections can all be cut at once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where it carries everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// To whom nobody listens yet.
    Nobody,
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Carries connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    upstream: watch::Sender<Upstream>,
    /// Counts the cuts.
    cuts: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of this address.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) async fn start(ip: IpAddr, upstream: Upstream) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await;
        let listener = listener.context("a proxy cannot listen")?;
        let address = listener.local_addr().context("a proxy has no address")?;
        let (upstream, to) = watch::channel(upstream);
        let (cuts, cut) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, to, cut));
        Ok(Self {
            address,
            upstream,
            cuts,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there.
    pub(crate) fn lead_to(&self, upstream: Upstream) {
        self.upstream.send_replace(upstream);
    }

    /// Ends every connection. New ones are taken.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(listener: TcpListener, to: watch::Receiver<Upstream>, cut: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, mut cut) = (to.borrow().clone(), cut.clone());
        cut.mark_unchanged();
        connections.spawn(async move {
            // Either ends the other: both only move bytes that nobody counts on.
            tokio::select! {
                () = carry(client, upstream) => {}
                _ = cut.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Until either side ends; at once when nobody listens there.
async fn carry(mut client: TcpStream, upstream: Upstream) {
    // Latency, not throughput. One that refuses is slower, nothing else.
    let _ = client.set_nodelay(true);
    match upstream {
        Upstream::Nobody => {}
        Upstream::Tcp(address) => {
            if let Ok(mut server) = TcpStream::connect(address).await {
                let _ = server.set_nodelay(true);
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
        Upstream::Unix(path) => {
            if let Ok(mut server) = UnixStream::connect(path).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_cut_ends_and_what_comes_later_goes_through() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let upstream = Upstream::Tcp(listener.local_addr().unwrap());
        let proxy = Proxy::start(ip, upstream).await.unwrap();
        for _ in 0..2 {
            let mut client = TcpStream::connect(proxy.address()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"hello").await.unwrap();
            let mut heard = [0; 5];
            server.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
            proxy.cut();
            assert_eq!(client.read(&mut heard).await.unwrap_or(0), 0);
            assert_eq!(server.read(&mut heard).await.unwrap_or(0), 0);
        }
        proxy.lead_to(Upstream::Nobody);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
}
