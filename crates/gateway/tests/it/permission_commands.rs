//! Permission requests on the command line: by command, and asked in a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::pty::openpty;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::asking::{Session, ending, play, setup, touch};
use crate::gateway::Gateway;
use crate::parts::{PATIENCE, eventually};

/// A command against a running gateway.
fn against(gateway: &Gateway, arguments: &[&str]) -> Command {
    let mut command = gateway.dir.ccpool();
    command
        .args(arguments)
        .env("CCPOOL_HTTP__LISTEN", gateway.address());
    command
}

/// Runs it to its end: exit code, stdout, stderr.
async fn run(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, against(gateway, arguments).output()).await;
    let output = output.expect("it ends in time").expect("ccpool starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn name(asked: &Value) -> &str {
    asked["requestId"].as_str().expect("a request")
}

#[tokio::test]
async fn requests_are_listed_and_answered_by_command() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let (code, stdout, _) = run(&gateway, &["sessions", "permissions", "s1"]).await;
    assert_eq!(code, Some(0));
    for part in ["REQUEST", name(&asked), "Bash", "touch made"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let (_, stdout, _) = run(&gateway, &["sessions", "permissions", "s1", "--json"]).await;
    let listed: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(listed["permissions"][0]["requestId"], asked["requestId"]);

    let wrong = ["sessions", "allow", "s1", name(&asked), "--input", "[1]"];
    let (code, _, stderr) = run(&gateway, &wrong).await;
    assert!(
        code == Some(2) && stderr.contains("no JSON object"),
        "{stderr}"
    );
    let input = r#"{"command":"touch other"}"#;
    let other = ["sessions", "allow", "s1", name(&asked), "--input", input];
    let (code, stdout, stderr) = run(&gateway, &other).await;
    let said = format!("{} is allowed\n", name(&asked));
    assert_eq!((code, stdout), (Some(0), said), "{stderr}");
    ending(stream).await;
    let made = ["made", "other"].map(|file| session.file(file).exists());
    assert_eq!(made, [false, true]);
    let (code, _, stderr) = run(&gateway, &["sessions", "deny", "s1", name(&asked)]).await;
    assert!(
        code == Some(1) && stderr.contains("was allowed already"),
        "{stderr}"
    );

    let (stream, asked) = session.asked(&touch("made")).await;
    let no = [
        "sessions",
        "deny",
        "s1",
        name(&asked),
        "--message",
        "not now",
        "--json",
    ];
    let (code, stdout, _) = run(&gateway, &no).await;
    let told: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &told["outcome"]), (Some(0), &json!("denied")));
    let (end, _) = ending(stream).await;
    assert_eq!(end["text"], "The tool said: not now", "{end}");

    let input = json!({"questions": [{"question": "Which?", "header": "W", "multiSelect": false,
        "options": [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]}]});
    let scene = json!([
        {"toolUse": {"name": "AskUserQuestion", "input": input}},
        {"text": "It said: {{toolResult}}"},
    ]);
    let (stream, asked) = session.asked(&play(&scene)).await;
    let blue = [
        "sessions",
        "allow",
        "s1",
        name(&asked),
        "--answer",
        "Which?=Blue",
    ];
    let (code, _, stderr) = run(&gateway, &blue).await;
    assert_eq!(code, Some(0), "{stderr}");
    let (end, _) = ending(stream).await;
    assert!(
        end["text"]
            .as_str()
            .is_some_and(|text| text.contains("Blue")),
        "{end}"
    );

    let (stream, asked) = session.asked(&touch("made")).await;
    let stop = ["sessions", "deny", "s1", name(&asked), "--interrupt"];
    assert_eq!(run(&gateway, &stop).await.0, Some(0));
    let (end, _) = ending(stream).await;
    assert_eq!(end["kind"], "interrupted", "{end}");
    let (stream, asked) = session.asked(&touch("made")).await;
    let always = ["sessions", "allow", "s1", name(&asked), "--always"];
    assert_eq!(run(&gateway, &always).await.0, Some(0));
    ending(stream).await;
    let again = session.say(&touch("made")).await.rest().await;
    assert!(
        again.iter().all(|m| m.event != "permission_request"),
        "{again:#?}"
    );
    gateway.stop().await;
}

/// Without a terminal nobody is asked, but told how to answer.
#[tokio::test]
async fn without_a_terminal_it_is_said_how_to_answer() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let prompt = touch("made");
    let running = against(&gateway, &["run", "--session", "s1", &prompt])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ccpool starts");
    let asked = eventually("it asks", async || {
        let path = "/api/docker-cc/sessions/s1/permissions";
        let answer = gateway.request(reqwest::Method::GET, path).send().await;
        let listed: Value = answer.expect("an answer").json().await.expect("JSON");
        let first = listed["permissions"].get(0)?;
        Some(name(first).to_owned())
    })
    .await;
    let (code, ..) = run(&gateway, &["sessions", "allow", "s1", &asked]).await;
    assert_eq!(code, Some(0));
    let output = tokio::time::timeout(PATIENCE, running.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("it can be read");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    let how = format!("ccpool sessions allow s1 {asked}");
    assert!(said.contains(&how), "{said}");
    gateway.stop().await;
}

/// A command in a terminal of its own.
struct Screen {
    child: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
}

impl Screen {
    fn open(mut command: Command) -> Self {
        let pty = openpty(None, None).expect("a terminal can be made");
        let ends = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        command.stdin(ends()).stdout(ends()).stderr(ends());
        let child = command.spawn().expect("ccpool starts");
        drop(command);
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone().expect("a descriptor");
        let shown = Arc::new(Mutex::new(String::new()));
        let reading = Arc::clone(&shown);
        // It ends when the last end of the terminal is closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                reading
                    .lock()
                    .expect("nobody panics with it")
                    .push_str(&text);
            }
        });
        Self { child, keys, shown }
    }

    fn shows(&self) -> String {
        self.shown.lock().expect("nobody panics with it").clone()
    }

    /// Waits until something is shown for the `count`th time.
    async fn wait_for(&self, text: &str, count: usize) {
        let what = format!("{text:?} on the screen");
        eventually(&what, async || {
            (self.shows().matches(text).count() >= count).then_some(())
        })
        .await;
    }

    fn types(&mut self, line: &str) {
        writeln!(self.keys, "{line}").expect("it can be typed");
    }

    async fn ends(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let code = status.expect("it ends in time").expect("a child").code();
        (code, self.shows())
    }
}

#[tokio::test]
async fn a_person_in_a_terminal_is_asked() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let run = |prompt: &str| Screen::open(against(&gateway, &["run", "--session", "s1", prompt]));
    const ASKS: &str = "allow it? y(es), a(lways in this session), n(o) and why:";

    let mut screen = run(&touch("made"));
    screen.wait_for(ASKS, 1).await;
    assert!(
        screen.shows().contains("command: touch made"),
        "{}",
        screen.shows()
    );
    screen.types("perhaps");
    screen.wait_for(ASKS, 2).await;
    assert!(!session.file("made").exists());
    screen.types("y");
    let (code, shown) = screen.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(session.file("made").exists());

    let mut screen = run(&touch("never"));
    screen.wait_for(ASKS, 1).await;
    screen.types("n wait for review");
    screen.wait_for("The tool said: wait for review", 1).await;
    assert_eq!(screen.ends().await.0, Some(0));

    // Somebody else answers first: the terminal does not wait any longer.
    let screen = run(&touch("elsewhere"));
    screen.wait_for(ASKS, 1).await;
    let pending = session.pending().await;
    session
        .answer(&pending[0], json!({"behavior": "allow"}))
        .await;
    assert_eq!(screen.ends().await.0, Some(0));
    assert!(session.file("elsewhere").exists());

    // Who begins to watch finds what waits.
    let (stream, _) = session.asked(&touch("watched")).await;
    let mut screen = Screen::open(against(&gateway, &["sessions", "tail", "s1"]));
    screen.wait_for(ASKS, 1).await;
    screen.types("a");
    ending(stream).await;
    assert!(session.file("watched").exists());
    crate::asking::end(&gateway, "s1").await;
    assert_eq!(screen.ends().await.0, Some(0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_pool_of_its_own_asks_in_its_terminal() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    // The same configuration, but a pool of this command's.
    let mut command = gateway.dir.ccpool();
    let config = gateway.dir.config();
    command
        .arg("--config")
        .arg(config)
        .args(["run", "--runtime", "process", "--wrapper"])
        .arg(crate::parts::wrapper())
        .arg(touch("made"))
        .env("ANTHROPIC_API_KEY", "sk-ant-fake")
        .env("ANTHROPIC_BASE_URL", gateway.model.base_url());
    let mut screen = Screen::open(command);
    screen.wait_for("allow it?", 1).await;
    screen.types("n no files");
    screen.wait_for("The tool said: no files", 1).await;
    let (code, shown) = screen.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    gateway.stop().await;
}
