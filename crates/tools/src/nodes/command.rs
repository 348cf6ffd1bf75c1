//! What is run on a node, from words to one line for its shell.

use uuid::Uuid;

use super::quote::quoted;
use crate::Refusal;

/// More words are no command that a model wrote.
const MOST_WORDS: usize = 1_000;
/// One argument of a program may have 128 KiB on Linux, and the whole line becomes one.
const LONGEST_LINE: usize = 100_000;
/// What the node's shell keeps in memory while the command reads it.
const MOST_STDIN: usize = 262_144;

/// Runs `"$@"` with the first `$1` bytes of what comes in as its stdin, and ends with its exit code.
/// Before it ends with 255, which `ssh` has for failures of its own, it says `$2` on stderr.
///
/// Without a terminal nothing ends a command when its connection goes: it would run on. So a second
/// process waits for the end of what comes in, which stays open while the gateway wants the command,
/// and then ends everything that the connection started (sshd starts it as a process group of its
/// own). No quotes and no backslashes in here, so that every shell takes it as it stands.
const KEEPER: &str = r#"exec 3<&0
n=$1
m=$2
shift 2
i=.
if [ "$n" -gt 0 ]; then i=$(head -c "$n"; echo .); fi
(printf %s "${i%.}" 2>/dev/null | "$@") 3<&- &
c=$!
(while read -r x; do :; done; trap "" TERM; kill -TERM 0; sleep 2; kill -KILL 0) <&3 3<&- >/dev/null 2>&1 &
w=$!
wait "$c"
s=$?
kill "$w" 2>/dev/null
if [ "$s" -eq 255 ]; then printf %s "$m" >&2; fi
exit "$s""#;

/// A command that a node can be asked to run.
#[derive(Debug)]
pub(super) struct Command {
    /// For the shell of the node's user.
    pub(super) line: String,
    /// What it reads; empty if nothing.
    pub(super) stdin: Vec<u8>,
    /// What stands in its stderr when it has itself ended with 255. Random, so nothing else is it.
    pub(super) mark: String,
}

/// # Errors
/// It is empty, or holds what cannot be handed over.
pub(super) fn command(words: &[String], stdin: Option<String>) -> Result<Command, Refusal> {
    if words.first().is_none_or(String::is_empty) {
        return Err(Refusal::new(
            "`command` names no program; its first word must be one.",
        ));
    }
    let stdin = stdin.unwrap_or_default();
    if words.iter().chain([&stdin]).any(|text| text.contains('\0')) {
        return Err(Refusal::new(
            "A zero byte cannot be handed to a command; take it out.",
        ));
    }
    if stdin.len() > MOST_STDIN {
        return Err(Refusal::new(format!(
            "`stdin` has {} bytes, and at most {MOST_STDIN} can be handed to a command.",
            stdin.len()
        )));
    }
    let mark = Uuid::new_v4().simple().to_string();
    let mut line = format!("exec sh -c '{KEEPER}' sh {} {mark}", stdin.len());
    for word in words {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    if words.len() > MOST_WORDS || line.len() > LONGEST_LINE {
        return Err(Refusal::new(
            "The command is too long; hand over long texts in `stdin`.",
        ));
    }
    let stdin = stdin.into_bytes();
    Ok(Command { line, stdin, mark })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command as Process, Output, Stdio};

    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// As sshd runs it: the line goes to a shell, in a process group of its own, and what it reads
    /// stays open.
    fn run(shell: &str, words: &[&str], stdin: Option<&str>) -> Output {
        use std::os::unix::process::CommandExt as _;

        let command = command(&owned(words), stdin.map(str::to_owned)).unwrap();
        let mut child = Process::new(shell)
            .args(["-c", &command.line])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&command.stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(input);
        output
    }

    #[test]
    fn a_command_gets_its_words_and_its_stdin_and_gives_its_exit_code() {
        for shell in ["sh", "bash"] {
            let output = run(shell, &["printf", "%s|", "a b", "it's", "$x", r"\"], None);
            assert_eq!(output.stdout, br"a b|it's|$x|\|");
            assert_eq!(
                (output.status.code(), &output.stderr[..]),
                (Some(0), &b""[..])
            );
            let text = "two\nlines and more\n\n";
            let output = run(shell, &["cat"], Some(text));
            assert_eq!(output.stdout, text.as_bytes());
            let output = run(shell, &["sh", "-c", "echo no >&2; exit 7"], Some("unread"));
            assert_eq!(
                (output.status.code(), &output.stderr[..]),
                (Some(7), &b"no\n"[..])
            );
            let output = run(shell, &["no-such-program-anywhere"], None);
            assert_eq!(output.status.code(), Some(127));
        }
    }

    #[test]
    fn a_long_stdin_that_nobody_reads_keeps_nobody() {
        let long = "x".repeat(MOST_STDIN);
        assert_eq!(run("sh", &["true"], Some(&long)).status.code(), Some(0));
        let counted = run("sh", &["wc", "-c"], Some(&long));
        let counted = String::from_utf8(counted.stdout).unwrap();
        assert_eq!(counted.trim(), MOST_STDIN.to_string());
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused() {
        let no = |words: &[&str], stdin: Option<String>| {
            let refusal = command(&owned(words), stdin).expect_err("a refusal");
            refusal.as_str().to_owned()
        };
        assert!(no(&[], None).contains("names no program"));
        assert!(no(&["", "a"], None).contains("names no program"));
        assert!(no(&["a", "\0"], None).contains("zero byte"));
        assert!(no(&["a"], Some("\0".to_owned())).contains("zero byte"));
        assert!(no(&["a"], Some("x".repeat(MOST_STDIN + 1))).contains("262144"));
        assert!(no(&["a", &"'".repeat(50_000)], None).contains("too long"));
        assert!(no(&["a"; MOST_WORDS + 1], None).contains("too long"));
    }
}
