use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Says one line about what is going on, on stderr.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("    {}", line.as_ref());
}

/// Says something that a reader must not overlook.
pub(crate) fn warn(line: impl AsRef<str>) {
    let (bold, plain) = colours("\u{1b}[1;33m");
    eprintln!("{bold}!!! {}{plain}", line.as_ref());
}

/// A piece of work that is announced when it begins and timed when it ends.
#[derive(Debug)]
pub(crate) struct Step {
    title: String,
    began: Instant,
}

impl Step {
    /// Announces the work. Say in the title why it takes long, if it does.
    pub(crate) fn begin(title: impl Into<String>) -> Self {
        let title = title.into();
        let (bold, plain) = colours("\u{1b}[1m");
        eprintln!("{bold}==> {title}{plain}");
        Self {
            title,
            began: Instant::now(),
        }
    }

    /// Says that the work is done and how long it took; returns that time.
    pub(crate) fn done(self) -> Duration {
        let took = self.began.elapsed();
        say(format!(
            "done in {:.1} s: {}",
            took.as_secs_f64(),
            self.title
        ));
        took
    }
}

fn colours(start: &'static str) -> (&'static str, &'static str) {
    if std::io::stderr().is_terminal() {
        (start, "\u{1b}[0m")
    } else {
        ("", "")
    }
}
