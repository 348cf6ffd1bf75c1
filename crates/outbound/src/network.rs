use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpStream;

/// A name with more addresses is refused.
const MOST_ADDRESSES: usize = 64;

/// Where names are looked up and connections are made.
pub trait Network: fmt::Debug + Send + Sync {
    /// The addresses of a name, at most 64, in the order in which to try them.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// A connection to exactly this address.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>>;
}

/// The network of this host.
#[derive(Debug)]
pub struct System;

impl Network for System {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|found| found.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            // None is left out unseen: who checks them must see them all.
            if addresses.len() > MOST_ADDRESSES {
                return Err(io::Error::other("the name has too many addresses"));
            }
            Ok(addresses)
        }
        .boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        TcpStream::connect(address).boxed()
    }
}
