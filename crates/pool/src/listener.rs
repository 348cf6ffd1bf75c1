//! One listener of a channel, and the end that it is told through.
//!
//! What it has not taken yet waits in a queue that grows with what is in it: most listeners have
//! nothing waiting, and there may be ten thousand of them.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Signals that a listener may be behind.
const CAPACITY: usize = 4096;

/// What a listener hears.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    /// A message, as it was published.
    Message(Arc<str>),
    /// Messages may have been missed: look into the buffer.
    Missed,
}

/// Hears what is published from its making on.
#[derive(Debug)]
pub(crate) struct Listener {
    queue: mpsc::Receiver<Signal>,
    missed: Arc<AtomicBool>,
}

/// Tells one listener.
#[derive(Debug)]
pub(crate) struct Speaker {
    queue: mpsc::Sender<Signal>,
    missed: Arc<AtomicBool>,
}

impl Listener {
    /// With the end that it is told through.
    pub(crate) fn new() -> (Speaker, Self) {
        let (sender, queue) = mpsc::channel(CAPACITY);
        let missed = Arc::new(AtomicBool::new(false));
        let speaker = Speaker {
            queue: sender,
            missed: Arc::clone(&missed),
        };
        (speaker, Self { queue, missed })
    }

    /// The next signal; None: there will be no more. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Signal> {
        poll_fn(|cx| match self.queue.poll_recv(cx) {
            // A task that has run for long is told to wait though something is there.
            Poll::Pending if self.queue.is_empty() && self.missed.swap(false, Ordering::AcqRel) => {
                Poll::Ready(Some(Signal::Missed))
            }
            polled => polled,
        })
        .await
    }
}

impl Speaker {
    /// False: nobody listens any more. One that is too far behind is told so when it has taken
    /// what waits for it.
    pub(crate) fn tell(&self, signal: Signal) -> bool {
        match self.queue.try_send(signal) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.store(true, Ordering::Release);
                // It may have taken everything since, and wait without having seen the mark.
                let _ = self.queue.try_send(Signal::Missed);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Whether somebody listens.
    pub(crate) fn is_heard(&self) -> bool {
        !self.queue.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Signal {
        Signal::Message(number.to_string().into())
    }

    #[tokio::test]
    async fn who_falls_behind_gets_what_waits_and_then_hears_that_some_was_missed() {
        let (speaker, mut listener) = Listener::new();
        for number in 0..CAPACITY + 10 {
            assert!(speaker.tell(numbered(number)));
        }
        for number in 0..CAPACITY {
            match listener.next().await {
                Some(Signal::Message(text)) => assert_eq!(*text, *number.to_string()),
                other => panic!("{other:?} instead of message {number}"),
            }
        }
        assert!(matches!(listener.next().await, Some(Signal::Missed)));
        assert!(speaker.tell(numbered(7)));
        assert!(matches!(listener.next().await, Some(Signal::Message(text)) if *text == *"7"));
        drop(speaker);
        assert!(listener.next().await.is_none());
    }

    #[tokio::test]
    async fn a_listener_that_is_gone_is_noticed() {
        let (speaker, listener) = Listener::new();
        assert!(speaker.is_heard() && speaker.tell(Signal::Missed));
        drop(listener);
        assert!(!speaker.is_heard() && !speaker.tell(Signal::Missed));
    }
}
