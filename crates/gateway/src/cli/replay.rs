//! `ccpool replay FILE`: recorded stdout of `claude` to reply events.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use ccpool_protocol::replay::Replay;

use super::error::{CliError, Exit};

/// Writes the events of `file` to stdout; wrong lines are reported on stderr.
pub(crate) fn run(file: &Path) -> Result<Exit, CliError> {
    let unreadable = |error: io::Error| {
        CliError::new(
            Exit::Failed,
            "internal",
            format!("cannot read {}: {error}", file.display()),
        )
        .mend("check the path and its permissions")
    };
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).map_err(unreadable)?))
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut complaints = io::stderr().lock();
    let outcome = replay(input, &mut out, &mut complaints);
    match outcome.and_then(|wrong| out.flush().map_err(ReplayError::Write).map(|()| wrong)) {
        Ok(0) => Ok(Exit::Done),
        Ok(_) => Ok(Exit::Failed),
        Err(ReplayError::Read(error)) => Err(unreadable(error)),
        Err(ReplayError::Write(error)) => Err(CliError::stdout(&error)),
    }
}

#[derive(Debug)]
enum ReplayError {
    Read(io::Error),
    Write(io::Error),
}

/// Returns how many lines were wrong.
fn replay(
    mut input: impl BufRead,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> Result<usize, ReplayError> {
    let mut replay = Replay::default();
    let mut line = Vec::new();
    let mut wrong = 0;
    for number in 1_u64.. {
        line.clear();
        if input
            .read_until(b'\n', &mut line)
            .map_err(ReplayError::Read)?
            == 0
        {
            break;
        }
        let events = match std::str::from_utf8(&line) {
            Ok(text) => replay.push(text).map_err(|error| error.to_string()),
            Err(error) => Err(format!(
                "the line is not UTF-8 (from byte {} on)",
                error.valid_up_to() + 1
            )),
        };
        match events {
            Ok(events) => {
                for event in events {
                    let json = serde_json::to_string(&event).expect("events have string keys");
                    writeln!(out, "{json}").map_err(ReplayError::Write)?;
                }
            }
            Err(complaint) => {
                wrong += 1;
                writeln!(complaints, "line {number}: {complaint}").map_err(ReplayError::Write)?;
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(input: &[u8]) -> (usize, String, String) {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let wrong = replay(input, &mut out, &mut complaints).expect("memory does not fail");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (wrong, text(out), text(complaints))
    }

    #[test]
    fn wrong_lines_are_numbered_and_the_rest_is_replayed() {
        let input =
            b"{\"dir\":\"in\",\"t_ms\":1,\"line\":{}}\nnot json\n\n\xff\n{\"type\":\"news\"}";
        let (wrong, out, complaints) = replayed(input);
        assert_eq!(wrong, 2);
        assert!(complaints.starts_with("line 2: "), "{complaints}");
        assert!(complaints.contains("\nline 4: the line is not UTF-8 (from byte 1 on)\n"));
        assert_eq!(out.lines().count(), 1);
        assert!(out.starts_with(r#"{"type":"other""#), "{out}");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(replayed(b""), (0, String::new(), String::new()));
    }
}
