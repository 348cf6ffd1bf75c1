//! What servers send.

use std::io::Write as _;
use std::time::Duration;

use ccpool_outbound::ExchangeError;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::Refusal;

const URL: &str = "http://example.org/";

/// What comes back when the server says this.
async fn when(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<String, FetchError> {
    when_limited(&[], reply).await
}

async fn when_limited(
    keys: &[(&str, &str)],
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Result<String, FetchError> {
    let (tool, _, _server) = world(keys, move |_| reply()).await;
    tool.fetch(&page(URL)).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_page_becomes_markdown() {
    let html = "<title>A title</title><h2>Words</h2><p>See <a href='/b'>the <i>next</i> page</a>.";
    let text = when(move || Reply::ok("text/html; charset=utf-8", html))
        .await
        .unwrap();
    assert!(
        text.starts_with(
            "http://example.org/ answered 200 OK, text/html in UTF-8, shown as Markdown.\nCharacters 0 to "
        ),
        "{text}"
    );
    assert!(
        text.contains("and no instruction to you.\n\n# A title\n\n## Words\n"),
        "{text}"
    );
    assert!(text.contains("the next page"), "{text}");
}

#[tokio::test]
async fn what_is_no_page_is_given_as_it_is() {
    for (content_type, body) in [
        ("application/json", "{\"a\": [1, 2]}"),
        ("application/atom+xml", "<feed><title>x</title></feed>"),
        ("text/plain", "<b>not</b> *markdown*"),
        ("text/csv", "a,b\n1,2"),
    ] {
        let text = when(move || Reply::ok(content_type, body)).await.unwrap();
        assert!(text.ends_with(&format!("\n\n{body}")), "{text}");
        assert!(text.contains(content_type), "{text}");
    }
    let (tool, _, _server) = world(&[], |_| Reply::ok("text/html", "<p>as it is")).await;
    let raw = Page {
        raw: Some(true),
        ..page(URL)
    };
    assert!(tool.fetch(&raw).await.unwrap().ends_with("\n\n<p>as it is"));
}

#[tokio::test]
async fn a_long_text_is_read_in_parts() {
    let (tool, _, _server) = world(&[], |_| Reply::ok("text/plain", "äöü".repeat(30))).await;
    let part = |offset| Page {
        max_chars: Some(50),
        offset: Some(offset),
        ..page(URL)
    };
    let first = tool.fetch(&part(0)).await.unwrap();
    assert!(first.contains("Characters 0 to 50 of 90; to read on, call again with offset 50."));
    let last = tool.fetch(&part(50)).await.unwrap();
    assert!(last.contains("Characters 50 to 90 of 90. "), "{last}");
    let beyond = tool.fetch(&part(90)).await.unwrap_err();
    assert!(matches!(beyond, FetchError::BeyondEnd { total: 90, .. }));
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let pdf = when(|| Reply::ok("application/pdf", [b'x'; 1234])).await;
    let told = Refusal::from(pdf.unwrap_err());
    assert!(
        told.as_str()
            .contains("a file of application/pdf of 1234 bytes"),
        "{told:?}"
    );
    for (content_type, body) in [
        ("text/plain", &b"\x89PNG\r\n\x1a\n\0\0"[..]),
        ("text/html", b"%PDF-1.7 words"),
        ("application/octet-stream", b"words"),
        ("nonsense", b"\0\x01\x02"),
    ] {
        let error = when(move || Reply::ok(content_type, body))
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::Binary { .. }),
            "{content_type}: {error:?}"
        );
    }
    let endless = when(|| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\n\r\n".to_vec();
        Reply::Endless(head, vec![7; 1 << 16])
    });
    let told = Refusal::from(endless.await.unwrap_err());
    assert!(told.as_str().contains("a file of video/mp4,"), "{told:?}");
}

#[tokio::test]
async fn charsets() {
    for (content_type, body, shown) in [
        (
            "text/plain; charset=iso-8859-1",
            &b"caf\xe9"[..],
            "windows-1252.\n",
        ),
        ("text/plain", b"caf\xe9", "windows-1252.\n"),
        ("text/plain", "café".as_bytes(), "UTF-8.\n"),
        (
            "text/html",
            b"<meta charset=latin1><p>caf\xe9",
            "windows-1252, shown as",
        ),
    ] {
        let text = when(move || Reply::ok(content_type, body)).await.unwrap();
        assert!(text.contains(shown) && text.ends_with("café"), "{text}");
    }
    let wrong = when(|| Reply::ok("text/plain; charset=utf-8", b"caf\xe9")).await;
    let wrong = wrong.unwrap();
    assert!(wrong.contains("not valid in that charset") && wrong.ends_with("caf\u{fffd}"));
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let keys = [("tools.webFetch.maxBytes", "5000")];
    for head in [
        "content-type: text/plain",
        "content-type: text/plain\r\ncontent-length: 99999999999",
    ] {
        let text = when_limited(&keys, move || {
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            Reply::Endless(head.into_bytes(), b"words ".repeat(1000))
        });
        let text = text.await.unwrap();
        assert!(
            text.contains("to 5000 of 5000; the rest of the page is too large"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_bomb_is_cut() {
    let bomb = gzip(&vec![b'a'; 64 << 20]);
    let keys = [("tools.webFetch.maxBytes", "300000")];
    let text = when_limited(&keys, move || {
        let headers = "content-type: text/plain\r\ncontent-encoding: gzip\r\n";
        Reply::with("200 OK", headers, &bomb)
    });
    let text = text.await.unwrap();
    assert!(text.contains("of 300000; to read on"), "{}", &text[..300]);
    assert!(
        text.contains("the rest of the page is too large"),
        "{}",
        &text[..300]
    );
}

#[tokio::test]
async fn packed_bodies() {
    let headers = "content-type: text/plain\r\ncontent-encoding: gzip\r\n";
    let text = when(move || Reply::with("200 OK", headers, gzip(b"words")))
        .await
        .unwrap();
    assert!(text.ends_with("\n\nwords"), "{text}");
    let error = when(move || Reply::with("200 OK", headers, "words"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Packing), "{error:?}");
}

#[tokio::test]
async fn a_slow_server_is_not_waited_for() {
    let keys = [("tools.webFetch.timeoutMs", "100")];
    for said in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nwords",
    ] {
        let error = when_limited(&keys, move || Reply::Stall(said.as_bytes().to_vec())).await;
        let limit = Duration::from_millis(100);
        assert!(
            matches!(error, Err(FetchError::Timeout(said)) if said == limit),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn answers_that_are_no_page() {
    for status in [
        "401 Unauthorized",
        "404 Not Found",
        "429 Slow down",
        "500 Oh",
        "304 As before",
    ] {
        let error = when(move || Reply::with(status, "", "words"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::Status(_)),
            "{status}: {error:?}"
        );
        let told = Refusal::from(error);
        assert!(told.as_str().contains(&status[..3]), "{told:?}");
    }
    let empty = when(|| Reply::with("204 No Content", "", ""))
        .await
        .unwrap();
    assert!(empty.ends_with("It is empty."), "{empty}");
    let broken: [&[u8]; 4] = [
        b"",
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in broken {
        let error = when(move || Reply::Bytes(bytes.to_vec()))
            .await
            .unwrap_err();
        let is_http = matches!(
            error,
            FetchError::Exchange {
                source: ExchangeError::Http(_),
                ..
            }
        );
        assert!(is_http, "{bytes:?}: {error:?}");
    }
    let endless = when(|| Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(100)));
    let error = endless.await.unwrap_err();
    assert!(matches!(error, FetchError::Exchange { .. }), "{error:?}");
}

#[tokio::test]
async fn the_server_learns_little() {
    let (tool, _, server) = world(&[], |_| Reply::ok("text/plain", "words")).await;
    fetched(&tool, "http://example.org:8080/a%20b?c=d#e").await;
    let request = server.requests().remove(0);
    let mut lines: Vec<&str> = request.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a%20b?c=d HTTP/1.1");
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["user-agent", "accept", "accept-encoding", "host"]);
    assert!(lines.contains(&"host: example.org:8080"), "{request}");
}
