//! On the process runtime: noticing that the gateway is gone.

use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::log;
use crate::news::News;

/// Reads stdin, a pipe whose other end only the gateway holds, until it closes.
pub(crate) async fn watch(news: mpsc::Sender<News>) {
    let pipe = std::io::stdin().as_fd().try_clone_to_owned();
    match pipe.and_then(pipe::Receiver::from_owned_fd) {
        Ok(mut pipe) => {
            let mut ignored = [0; 64];
            while matches!(pipe.read(&mut ignored).await, Ok(read) if read > 0) {}
            // A supervisor that is gone aborts this task.
            let _ = news.send(News::Orphaned).await;
        }
        Err(error) => log::error(format_args!("cannot watch for the gateway's end: {error}")),
    }
}
