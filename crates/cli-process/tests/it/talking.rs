//! What goes in and what comes out.

use std::os::unix::process::ExitStatusExt;

use ccpool_cli_process::Event;
use nix::sys::signal::Signal;

use crate::shell::Shell;

#[tokio::test]
async fn it_is_told_and_heard_until_its_input_ends() {
    let mut shell = Shell::run("exec cat");
    let long = "x".repeat(1 << 20);
    let said = format!("a\n\n{long}\n");
    shell.process.write(said.into_bytes()).unwrap();
    assert_eq!(shell.line().await, "a");
    assert_eq!(shell.line().await, long);
    shell.process.write(b"b\nlast".to_vec()).unwrap();
    shell.process.close_stdin();
    assert_eq!(shell.line().await, "b");
    assert_eq!(shell.line().await, "last");
    let (status, last_words) = shell.exit().await;
    assert!(status.success(), "{status}");
    assert_eq!(last_words, None);
}

#[tokio::test]
async fn asking_and_going_away_loses_nothing() {
    let mut shell = Shell::run("for n in $(seq 200); do printf a; printf 'b%s\\n' $n; done");
    let mut lines = Vec::new();
    loop {
        // Whoever else is awaited comes first every other time.
        let event = tokio::select! {
            biased;
            event = shell.output.next() => event,
            () = tokio::task::yield_now() => continue,
        };
        match event {
            Event::Line(line) => lines.push(String::from_utf8(line.unwrap()).unwrap()),
            Event::Exited { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<_> = (1..=200).map(|n| format!("ab{n}")).collect();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn one_that_does_not_read_is_stuck_and_one_that_cannot_is_deaf() {
    let mut shell = Shell::run("exec sleep 60");
    let more_than_a_pipe_holds = vec![b'\n'; 1 << 20];
    shell.process.write(more_than_a_pipe_holds).unwrap();
    let mut writes = 0;
    while shell.process.write(b"\n".to_vec()).is_ok() {
        writes += 1;
        assert!(writes < 10_000, "the queue has no end");
        tokio::task::yield_now().await;
    }
    shell.process.signal(Signal::SIGKILL).unwrap();
    loop {
        match shell.next().await {
            // What was on its way met its end.
            Event::Deaf(_) => {}
            Event::Exited { status, .. } => {
                assert_eq!(status.unwrap().signal(), Some(9));
                break;
            }
            other => panic!("{other:?}"),
        }
    }

    let mut shell = Shell::run("exec <&-; echo closed; exec sleep 60");
    assert_eq!(shell.line().await, "closed");
    shell.process.write(b"hello\n".to_vec()).unwrap();
    let event = shell.next().await;
    assert!(matches!(event, Event::Deaf(_)), "{event:?}");
}
