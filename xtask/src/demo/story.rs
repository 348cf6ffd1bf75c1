use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

/// What is told to a person: on stdout, or on stderr where stdout is for a program.
///
/// A reader who goes away must not keep anything from being cleaned up, so what cannot be
/// written is dropped.
pub(crate) struct Story {
    out: Box<dyn Write>,
    colours: bool,
}

impl Story {
    /// Tells on stderr when stdout carries `json`.
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self {
                out: Box::new(io::stderr()),
                colours: io::stderr().is_terminal(),
            }
        } else {
            Self {
                out: Box::new(io::stdout()),
                colours: io::stdout().is_terminal(),
            }
        }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: impl Display) {
        let title = self.painted("\u{1b}[1;36m", &title);
        let _ = writeln!(self.out, "\n{title}");
    }

    /// A line without anything.
    pub(crate) fn gap(&mut self) {
        let _ = writeln!(self.out);
    }

    /// One line, or several, below the chapter's title.
    pub(crate) fn line(&mut self, text: impl Display) {
        for line in text.to_string().lines() {
            let _ = writeln!(self.out, "  {line}");
        }
    }

    /// Something that a reader must not overlook.
    pub(crate) fn warn(&mut self, text: impl Display) {
        let text = self.painted("\u{1b}[1;33m", &format_args!("!!! {text}"));
        let _ = writeln!(self.out, "{text}");
    }

    /// Begins a line whose end comes by [`Story::more`].
    pub(crate) fn begin(&mut self, who: &str) {
        let who = self.painted("\u{1b}[1m", &who);
        let _ = write!(self.out, "  {who} ");
        let _ = self.out.flush();
    }

    /// More of a begun line, shown at once.
    pub(crate) fn more(&mut self, text: &str) {
        let _ = self.out.write_all(text.replace('\n', "\n  ").as_bytes());
        let _ = self.out.flush();
    }

    /// Ends a begun line.
    pub(crate) fn end(&mut self) {
        let _ = writeln!(self.out);
    }

    fn painted(&self, colour: &str, text: &dyn Display) -> String {
        if self.colours {
            format!("{colour}{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").finish_non_exhaustive()
    }
}
