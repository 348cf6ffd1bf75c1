//! What people and programs get wrong, and what they are told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Folder, Gateway, Setup, answer};
use crate::parts::PATIENCE;

const TURNS: &str = "/api/docker-cc/sessions/s1/turns";

#[tokio::test]
async fn requests() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("s1").await;
    let raw = |body: Vec<u8>| {
        gateway
            .request(Method::POST, TURNS)
            .header("content-type", "application/json")
            .body(body)
    };
    let kind = |problem: &Value| problem["type"].as_str().unwrap_or_default().to_owned();

    let (status, problem) = gateway.turn("nobody", &json!({"prompt": "x"})).await;
    assert_eq!(
        (status, kind(&problem).as_str()),
        (404, "urn:ccpool:problem:unknown-session")
    );
    for body in [
        json!({}),
        json!({"prompt": ""}),
        json!({"prompt": " \n"}),
        json!({"content": []}),
    ] {
        let (status, problem) = gateway.turn("s1", &body).await;
        assert_eq!(status, 400, "{body}: {problem}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|d| d.contains("empty")),
            "{problem}"
        );
    }
    let (status, problem) = answer(raw(b"{\"prompt\":\"\xff\"}".to_vec())).await;
    assert_eq!(status, 400);
    assert_eq!(
        problem["detail"],
        "the body is not UTF-8: byte 11 is not valid"
    );
    let (status, problem) = answer(raw(b"{\"prompt\":".to_vec())).await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("line 1 column")),
        "{problem}"
    );
    let (status, problem) = answer(raw(b"{\"promt\":\"x\"}".to_vec())).await;
    assert_eq!(status, 400);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|d| d.contains("`promt`")),
        "{problem}"
    );
    let (status, problem) = answer(raw(vec![b' '; 33 << 20])).await;
    assert_eq!(
        (status, kind(&problem).as_str()),
        (413, "urn:ccpool:problem:body-too-large")
    );
    let (status, problem) = answer(gateway.request(Method::POST, TURNS).body("prompt=x")).await;
    assert_eq!(
        (status, kind(&problem).as_str()),
        (415, "urn:ccpool:problem:unsupported-media-type")
    );
    let events = "/api/docker-cc/sessions/s1/events";
    let wrong_id = gateway
        .request(Method::GET, events)
        .header("last-event-id", "yesterday");
    assert_eq!(answer(wrong_id).await.0, 400);
    assert_eq!(
        answer(gateway.request(Method::GET, "/api/docker-cc/sessions/a%20b"))
            .await
            .0,
        400
    );
    let rebound = gateway
        .request(Method::GET, "/api/docker-cc/pool")
        .header("host", "evil.example");
    let (status, problem) = answer(rebound).await;
    assert_eq!(
        (status, kind(&problem).as_str()),
        (403, "urn:ccpool:problem:unknown-host")
    );

    // None of it has harmed the session.
    let (status, next) = gateway
        .turn("s1", &json!({"prompt": "[[script:hello]]"}))
        .await;
    assert_eq!(status, 200, "{next}");
    gateway.stop().await;
}

#[tokio::test]
async fn prompts_reach_the_model_as_they_are() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("s1").await;
    for prompt in [
        "/context",
        "@/etc/passwd",
        "/compact now",
        "#remember",
        "!ls",
    ] {
        gateway.model.clear();
        let (status, answer) = gateway.turn("s1", &json!({"prompt": prompt})).await;
        assert_eq!(status, 200, "{prompt}: {answer}");
        assert_eq!(answer["result"]["text"], format!("You said: {prompt}"));
        let request = gateway
            .model
            .wait_for_request(|request| request.path == "/v1/messages", PATIENCE)
            .await
            .expect("the model was asked");
        assert_eq!(request.last_user_text, prompt);
        assert!(
            !request
                .texts_of_role("user")
                .iter()
                .any(|text| text.contains("root:x:"))
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_huge_prompt_is_answered() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("s1").await;
    // More than the model's context: the CLI refuses it, and the session lives on.
    let (status, problem) = gateway
        .turn("s1", &json!({"prompt": "x ".repeat(5 << 20)}))
        .await;
    assert_eq!(
        (status, &problem["kind"]),
        (400, &json!("invalid_request")),
        "{problem}"
    );
    let (status, next) = gateway
        .turn("s1", &json!({"prompt": "[[script:hello]]"}))
        .await;
    assert_eq!(status, 200, "{next}");
    gateway.stop().await;
}

/// Runs `ccpool` to its end: exit code, stdout, stderr.
async fn ended(dir: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, dir.ccpool().args(arguments).output())
        .await
        .expect("it ends in time")
        .expect("ccpool starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn serve_refuses_in_one_line() {
    let dir = Folder::new();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = taken.local_addr().expect("an address").to_string();
    let process = [
        "serve",
        "--runtime",
        "process",
        "--wrapper",
        "/bin/true",
        "--listen",
    ];
    let serve =
        |listen: &'static str, more: &[&'static str]| [&process[..], &[listen], more].concat();
    let (code, _, stderr) = ended(&dir, &[&process[..], &[&port]].concat()).await;
    assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(
        stderr.contains("is taken") && stderr.contains("; mend: "),
        "{stderr}"
    );

    let arguments = serve("127.0.0.1:0", &["--redis", "redis://127.0.0.1:1"]);
    let (code, _, stderr) = ended(&dir, &arguments).await;
    assert_eq!((code, stderr.lines().count()), (Some(3), 1), "{stderr}");
    assert!(
        stderr.starts_with("error: Redis cannot be reached"),
        "{stderr}"
    );

    let (code, _, stderr) = ended(&dir, &serve("0.0.0.0:0", &[])).await;
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("http.token"), "{stderr}");
}

#[tokio::test]
async fn a_wrong_key_is_named_with_its_line() {
    let dir = Folder::new();
    std::fs::write(dir.config(), "pool:\n  minwarm: 3\n").expect("a file");
    for command in [&["config", "check"][..], &["serve"], &["run", "hi"]] {
        let (code, _, stderr) = ended(&dir, command).await;
        assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(
            stderr.contains("ccpool.yaml:2: ") && stderr.contains("`minWarm`"),
            "{stderr}"
        );
    }
    let (code, stdout, stderr) = ended(&dir, &["config", "check", "--json"]).await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let error: Value = serde_json::from_str(&stderr).expect("one JSON object");
    assert_eq!(error["error"]["kind"], "config");
    assert!(error["error"]["mend"].is_string());
}

#[tokio::test]
async fn no_gateway_is_told_as_such() {
    let dir = Folder::new();
    std::fs::write(dir.config(), "http: {listen: \"127.0.0.1:1\"}\n").expect("a file");
    for command in [&["status"][..], &["sessions", "list"], &["pool", "drain"]] {
        let (code, stdout, stderr) = ended(&dir, command).await;
        assert_eq!((code, stdout.as_str()), (Some(3), ""));
        assert!(
            stderr.contains("no gateway answers") && stderr.contains("ccpool serve"),
            "{stderr}"
        );
    }
}
