//! A turn or session that a person watches: events are printed, and what the agent asks is asked.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccpool_protocol::{Event, ReplyEvent, RequestId, UnixMs};

use super::command::Global;
use super::contact::Contact;
use super::dialogue::{Asked, Dialogue, Step};
use super::error::{CliError, Exit};
use super::printer::Printer;
use super::terminal::Terminal;

/// By how much the clock of a container's host may be behind.
const CLOCKS: Duration = Duration::from_secs(5);

/// Both sides of it.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    printer: Printer<io::Stdout, io::Stderr>,
    contact: Contact<'a>,
    terminal: Terminal,
    dialogue: Dialogue,
    /// Somebody can be asked; otherwise it is said how to answer.
    asks: bool,
    says: bool,
    /// What was asked before then is over, or was found in the list (Unix ms).
    since: UnixMs,
}

impl<'a> Talk<'a> {
    pub(super) fn new(global: &Global, contact: Contact<'a>) -> Self {
        Self {
            printer: Printer::new(global),
            contact,
            terminal: Terminal::default(),
            dialogue: Dialogue::default(),
            asks: !global.json && Terminal::is_there(),
            says: !global.json && !global.quiet,
            since: 0,
        }
    }

    /// The way to the session.
    pub(super) fn contact(&self) -> &Contact<'a> {
        &self.contact
    }

    /// Asks what has been waiting since before anybody watched. `replays`: older events come too,
    /// and what they ask is not asked again.
    pub(super) async fn catch_up(&mut self, replays: bool) -> Result<(), CliError> {
        if !self.asks && !self.says {
            return Ok(());
        }
        if replays {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.unwrap_or_default().saturating_sub(CLOCKS);
            self.since = UnixMs::try_from(now.as_millis()).unwrap_or(0);
        }
        let pending = self.contact.pending().await?;
        for asked in pending.iter().filter_map(Asked::listed) {
            self.begin(asked)?;
        }
        Ok(())
    }

    /// Prints an event, and asks what it asks.
    pub(super) fn event(&mut self, event: &ReplyEvent) -> Result<(), CliError> {
        self.printer.event(event)?;
        if let Some(asked) = Asked::of(&event.event) {
            return match event.at < self.since {
                true => Ok(()),
                false => self.begin(asked),
            };
        }
        match &event.event {
            Event::PermissionResolved { request_id, .. } => self.settled(request_id),
            _ => Ok(()),
        }
    }

    /// The next line of the person, while something is asked. Cancel-safe.
    pub(super) async fn line(&mut self) -> String {
        if self.dialogue.is_open() {
            return self.terminal.line().await;
        }
        std::future::pending().await
    }

    /// Takes a line.
    pub(super) async fn take(&mut self, line: &str) -> Result<(), CliError> {
        match self.dialogue.line(line) {
            None => Ok(()),
            Some(Step::Say(text)) => prompt(&text),
            Some(Step::Answer(request, answer)) => {
                match self.contact.answer(&request, answer).await {
                    Err(error) if error.exit() == Exit::Unavailable => {
                        error.print(false);
                        return self.ask("it was not answered; say it again: ");
                    }
                    // Somebody else was first, perhaps; the turn goes on.
                    Err(error) => error.print(false),
                    Ok(()) => {}
                }
                self.settled(&request)
            }
        }
    }

    fn begin(&mut self, asked: Asked) -> Result<(), CliError> {
        if !self.asks {
            return self.hint(&asked.request);
        }
        match self.dialogue.begin(asked) {
            Some(text) => self.ask(&text),
            None => Ok(()),
        }
    }

    fn settled(&mut self, request: &RequestId) -> Result<(), CliError> {
        match self.dialogue.settled(request) {
            Some(text) => self.ask(&text),
            None => Ok(()),
        }
    }

    fn ask(&mut self, text: &str) -> Result<(), CliError> {
        self.terminal.listen();
        prompt(text)
    }

    /// Says how to answer, where nobody can be asked.
    fn hint(&self, request: &RequestId) -> Result<(), CliError> {
        if !self.says {
            return Ok(());
        }
        let session = self.contact.session();
        let text = match self.contact.is_shared() {
            true => format!(
                "(answer with `ccpool sessions allow {session} {request}`, or `deny`; \
                 `ccpool sessions permissions {session}` shows it)\n"
            ),
            false => "(nobody can answer here, so permissions.onTimeout decides; run it in a \
                      terminal, or set permissions.allow)\n"
                .to_owned(),
        };
        prompt(&text)
    }
}

/// Onto stderr, without a line's end of its own.
fn prompt(text: &str) -> Result<(), CliError> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| CliError::internal(format!("cannot write to stderr: {error}")))
}
