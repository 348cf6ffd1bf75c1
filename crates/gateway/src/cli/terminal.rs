//! Lines that a person types, where there is a person.

use std::io::{BufRead, IsTerminal};

use tokio::sync::mpsc;

/// Lines that nobody has asked for are dropped beyond these.
const TYPED_AHEAD: usize = 16;

/// The terminal on standard input.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    lines: Option<mpsc::Receiver<String>>,
}

impl Terminal {
    /// Whether somebody can be asked.
    pub(super) fn is_there() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// From now on lines count; those that were typed before a question are no answer to it.
    pub(super) fn listen(&mut self) {
        match &mut self.lines {
            Some(lines) => while lines.try_recv().is_ok() {},
            None => self.lines = Some(read()),
        }
    }

    /// The next line; never, once there are none. Cancel-safe: a line that is not taken stays.
    pub(super) async fn line(&mut self) -> String {
        if let Some(lines) = &mut self.lines
            && let Some(line) = lines.recv().await
        {
            return line;
        }
        std::future::pending().await
    }
}

/// Reads in a thread of its own: unlike the runtime's, it holds up nobody who wants to end.
fn read() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(TYPED_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(line) {
                return;
            }
        }
    });
    lines
}
