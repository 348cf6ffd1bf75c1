use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use ccpool_outbound::Network;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpStream;

/// Names that mean what a test says, at each look-up something else if it says so. Whatever address is
/// connected to, the test's server answers.
#[derive(Debug)]
pub(super) struct Names {
    server: SocketAddr,
    answers: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    looked_up: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
}

impl Names {
    pub(super) fn leading_to(server: SocketAddr) -> Self {
        Self {
            server,
            answers: Mutex::default(),
            looked_up: Mutex::default(),
            connected: Mutex::default(),
        }
    }

    /// What a name means, one look-up after the other; the last one stays.
    pub(super) fn set(&self, name: &str, answers: &[&[&str]]) {
        let addresses = |list: &&[&str]| list.iter().map(|at| at.parse().unwrap()).collect();
        let answers = answers.iter().map(addresses).collect();
        self.answers
            .lock()
            .unwrap()
            .insert(name.to_owned(), answers);
    }

    pub(super) fn looked_up(&self) -> Vec<String> {
        self.looked_up.lock().unwrap().clone()
    }

    /// What was connected to.
    pub(super) fn connected(&self) -> Vec<String> {
        let connected = self.connected.lock().unwrap();
        connected.iter().map(ToString::to_string).collect()
    }
}

impl Network for Names {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.looked_up.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let found = answers.get_mut(name).map(|answers| {
            if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            }
        });
        let found = found.flatten().ok_or(io::ErrorKind::NotFound.into());
        futures::future::ready(found).boxed()
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        self.connected.lock().unwrap().push(address);
        TcpStream::connect(self.server).boxed()
    }
}
