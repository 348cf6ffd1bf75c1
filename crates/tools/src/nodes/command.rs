//! What is run on a node, and how its words get there.

use uuid::Uuid;

use super::quote::quoted;
use crate::Refusal;

/// More words are no command that a model wrote.
const MOST_WORDS: usize = 1_000;
/// Of all words, and of stdin. One argument of a program may have 128 KiB on Linux, and there are
/// shells whose `printf` is a program.
const MOST_BYTES: usize = 100_000;

/// What the node's user is asked to run: always this, whatever the command, with the length of
/// [`Command::given`] and [`Command::mark`] behind it. The words come in as data, so no other shell
/// than `sh` ever reads them; which one the user has does not matter (csh leaves a `!` alone that a
/// space follows).
///
/// The first `$1` bytes of what comes in are evaluated: they set the words, and `input`, which the
/// command reads. When the command has ended it says `$2` on stderr, and ends with its exit code: 255
/// without `$2` is a failure of `ssh` itself.
///
/// Without a terminal nothing ends a command when its connection goes: it would run on. So a second
/// process waits for the end of what comes in, which stays open while the gateway wants the command,
/// and then ends everything that the connection started (sshd starts it as a process group of its
/// own). It is let go when the command has ended, but not when nobody hears that: then the connection
/// may be what ended it, and what it has begotten must go too.
const KEEPER: &str = concat!(
    r#"exec sh -c 'exec 3<&0; mark=$2; whole=; "#,
    r#"eval "$(head -c "$1")" >/dev/null; [ "$whole" = yes ] || exit 125; "#,
    r#"(printf %s "$input" 2>/dev/null | "$@") 3<&- & work=$! ; "#,
    r#"(while read -r more; do :; done; trap "" TERM; kill -TERM 0; sleep 2; kill -KILL 0) "#,
    r#"<&3 3<&- >/dev/null 2>&1 & keeper=$! ; "#,
    r#"wait "$work"; code=$?; "#,
    r#"printf %s "$mark" >&2 && kill "$keeper" 2>/dev/null; exit "$code"' sh"#,
);

/// A command that a node can be asked to run.
#[derive(Debug)]
pub(super) struct Command {
    /// For the shell of the node's user.
    pub(super) line: String,
    /// What must come in then, before anything else.
    pub(super) given: Vec<u8>,
    /// What stands in its stderr once it has ended. Random, so nothing else is it.
    pub(super) mark: String,
}

/// # Errors
/// It is empty, or holds what cannot be handed over.
pub(super) fn command(words: &[String], stdin: Option<&str>) -> Result<Command, Refusal> {
    if words.first().is_none_or(String::is_empty) {
        return Err(Refusal::new(
            "`command` names no program; its first word must be one.",
        ));
    }
    let stdin = stdin.unwrap_or_default();
    let all = words.iter().map(String::as_str);
    if all.chain([stdin]).any(|text| text.contains('\0')) {
        return Err(Refusal::new(
            "A zero byte cannot be handed to a command; take it out.",
        ));
    }
    if stdin.len() > MOST_BYTES {
        return Err(Refusal::new(format!(
            "`stdin` has {} bytes, and at most {MOST_BYTES} can be handed to a command.",
            stdin.len()
        )));
    }
    let bytes: usize = words.iter().map(String::len).sum();
    if words.len() > MOST_WORDS || bytes > MOST_BYTES {
        return Err(Refusal::new(
            "The command is too long; hand over long texts in `stdin`.",
        ));
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    // `whole` comes last: of what was cut off on the way nothing may be run.
    let given = format!(
        "set -- {}; input={}; whole=yes",
        words.join(" "),
        quoted(stdin)
    );
    let mark = Uuid::new_v4().simple().to_string();
    Ok(Command {
        line: format!("{KEEPER} {} {mark}", given.len()),
        given: given.into_bytes(),
        mark,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command as Process, Output, Stdio};
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// As sshd runs it: the line goes to a shell, in a process group of its own.
    fn start(shell: &str, command: &Command) -> Child {
        Process::new(shell)
            .args(["-c", &command.line])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What it reads stays open until it has ended. The mark is taken out.
    fn run(shell: &str, words: &[&str], stdin: Option<&str>) -> Output {
        let command = command(&owned(words), stdin).unwrap();
        let mut child = start(shell, &command);
        let mut input = child.stdin.take().unwrap();
        input.write_all(&command.given).unwrap();
        let mut output = child.wait_with_output().unwrap();
        drop(input);
        let stderr = output.stderr.strip_suffix(command.mark.as_bytes());
        output.stderr = stderr.expect("the mark at its end").to_vec();
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
        let long = "x".repeat(MOST_BYTES);
        assert_eq!(run("sh", &["true"], Some(&long)).status.code(), Some(0));
        let counted = run("sh", &["wc", "-c"], Some(&long));
        let counted = String::from_utf8(counted.stdout).unwrap();
        assert_eq!(counted.trim(), MOST_BYTES.to_string());
    }

    #[test]
    fn of_a_command_that_is_cut_off_nothing_is_run() {
        let whole = command(&owned(&["echo", "a", "it's"]), Some("b")).unwrap();
        for length in 0..whole.given.len() {
            let mut child = start("sh", &whole);
            let mut input = child.stdin.take().unwrap();
            input.write_all(&whole.given[..length]).unwrap();
            drop(input);
            let output = child.wait_with_output().unwrap();
            let is_nothing = output.stdout.is_empty() && !output.status.success();
            assert!(is_nothing, "{length}: {output:?}");
        }
    }

    #[tokio::test]
    async fn what_a_command_has_begotten_goes_with_the_connection_that_ended_it() {
        let script = "sleep 1000 & echo $!; while echo more; do :; done";
        let endless = command(&owned(&["sh", "-c", script]), None).unwrap();
        let mut child = start("sh", &endless);
        let mut input = child.stdin.take().unwrap();
        input.write_all(&endless.given).unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        let begotten = Pid::from_raw(first.trim().parse().unwrap());
        // Nobody hears it any more, so it dies of writing; then the rest of the connection goes.
        drop((stdout, child.stderr.take()));
        child.wait().unwrap();
        assert_eq!(kill(begotten, None), Ok(()));
        drop(input);
        let gone = async {
            let mut look = tokio::time::interval(Duration::from_millis(10));
            while kill(begotten, None) != Err(Errno::ESRCH) {
                look.tick().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(60), gone).await;
        gone.expect("it is ended");
    }

    #[test]
    fn a_users_shell_reads_the_same_line_whatever_the_command() {
        let line = |words: &[&str]| {
            let command = command(&owned(words), None).unwrap();
            let ending = format!(" {} {}", command.given.len(), command.mark);
            let line = command.line.strip_suffix(&ending).expect("its ending");
            line.to_owned()
        };
        assert_eq!(line(&["true"]), line(&["rm", "'; $(id) `id` !\n"]));
        // No shell takes anything of it for its own, csh neither.
        let (_, script) = KEEPER.split_once('\'').unwrap();
        let (script, after) = script.split_once('\'').unwrap();
        assert_eq!(after, " sh");
        let script = script.replace("! ", "");
        assert!(!script.contains(['!', '\\', '\n']), "{script}");
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused() {
        let no = |words: &[&str], stdin: Option<&str>| {
            let refusal = command(&owned(words), stdin).expect_err("a refusal");
            refusal.as_str().to_owned()
        };
        assert!(no(&[], None).contains("names no program"));
        assert!(no(&["", "a"], None).contains("names no program"));
        assert!(no(&["a", "\0"], None).contains("zero byte"));
        assert!(no(&["a"], Some("\0")).contains("zero byte"));
        assert!(no(&["a"], Some(&"x".repeat(MOST_BYTES + 1))).contains("100000"));
        assert!(no(&["a", &"x".repeat(MOST_BYTES)], None).contains("too long"));
        assert!(no(&["a"; MOST_WORDS + 1], None).contains("too long"));
    }
}
