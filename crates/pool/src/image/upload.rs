use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, poll_fn};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::context::BuildContext;

/// Bytes per piece of the request body.
const PIECE: usize = 1 << 20;

/// Pieces that may wait for the engine; bounds memory to a few megabytes.
const WAITING: usize = 4;

/// A context on its way to the engine: archived on a blocking thread, sent as it is made.
#[derive(Debug)]
pub(super) struct Upload {
    archiving: JoinSet<io::Result<()>>,
}

impl Upload {
    /// Starts archiving. The stream is the request's body; dropping it ends the archiving.
    pub(super) fn start(
        context: BuildContext,
    ) -> (Self, impl Stream<Item = io::Result<Bytes>> + Send + 'static) {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let mut archiving = JoinSet::new();
        archiving.spawn_blocking(move || {
            let mut pieces = Pieces {
                sender,
                piece: BytesMut::with_capacity(PIECE),
            };
            let written = context.write_tar(&mut pieces).and_then(|()| pieces.flush());
            if let Err(error) = &written {
                // The body must end in an error, or the engine takes the part for the whole.
                // If nobody listens any more, the request has failed already.
                let copy = io::Error::new(error.kind(), error.to_string());
                let _ = pieces.sender.blocking_send(Err(copy));
            }
            written
        });
        (
            Self { archiving },
            poll_fn(move |cx| receiver.poll_recv(cx)),
        )
    }

    /// Why archiving failed, if it did for a reason of its own. The body must have been
    /// dropped or read to its end.
    pub(super) async fn failure(mut self) -> Option<io::Error> {
        match self.archiving.join_next().await? {
            Ok(Ok(())) => None,
            // The engine stopped reading: its answer says why.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(io::Error::other(panic)),
        }
    }
}

struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE)).freeze();
        self.sender
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
