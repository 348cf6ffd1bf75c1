//! What is told of an end.

use ccpool_cli_process::Event;
use tokio::process::Command;

use crate::shell::Shell;

#[tokio::test]
async fn the_end_comes_last_with_the_last_words() {
    let mut shell = Shell::run("echo first >&2; echo said; echo second >&2; printf half; exit 3");
    let (mut lines, mut words) = (Vec::new(), Vec::new());
    let (status, last_words) = loop {
        match shell.next().await {
            Event::Line(line) => lines.push(line.unwrap()),
            Event::Words(line) => words.push(line),
            Event::Deaf(error) => panic!("nothing was written: {error}"),
            Event::Exited { status, last_words } => break (status.unwrap(), last_words),
        }
    };
    assert_eq!(lines, [&b"said"[..], &b"half"[..]]);
    assert_eq!(words, ["first", "second"]);
    assert_eq!(status.code(), Some(3));
    assert_eq!(last_words.as_deref(), Some("second"));
}

#[tokio::test]
async fn whoever_holds_its_output_open_does_not_hold_up_its_end() {
    let mut shell = Shell::run("sleep 60 & echo started");
    assert_eq!(shell.line().await, "started");
    let (status, _) = shell.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_no_process() {
    let error = ccpool_cli_process::spawn(Command::new("/no/such/program")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
