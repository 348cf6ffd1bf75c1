//! Searches with each provider, played by a server on loopback. What it answers is written after the
//! providers' documentation.

use serde_json::{Value, json};

use super::error::SearchError;
use super::hit::Hit;
use super::provider::Freshness;
use super::tool::{Search, WebSearch};
use crate::Refusal;
use crate::web::loopback::{Reply, Server, configured};

const KEY: &str = "hunter2-hunter2";
const PROVIDERS: [&str; 3] = ["brave", "searxng", "tavily"];

/// A provider that answers everything like this, and the tool that asks it.
async fn world(
    provider: &str,
    more: &[(&str, &str)],
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> (WebSearch, Server) {
    let server = Server::start(move |_| reply()).await;
    let base = server.url("/base/");
    let mut keys = vec![
        ("tools.webSearch.provider", provider),
        ("tools.webSearch.apiKey", KEY),
        ("tools.webSearch.baseUrl", &base),
    ];
    keys.extend(more);
    (WebSearch::new(&configured(&keys)), server)
}

fn search(query: &str) -> Search {
    Search {
        query: query.to_owned(),
        count: None,
        freshness: None,
    }
}

/// What a provider answers that has found these.
fn found(provider: &str, results: &Value) -> Value {
    match provider {
        "brave" => json!({"type": "search", "web": {"type": "search", "results": results}}),
        _ => json!({"query": "x", "results": results}),
    }
}

fn json(value: &Value) -> Reply {
    Reply::ok("application/json", value.to_string())
}

/// Two results that say the same in each provider's words.
fn two_results(provider: &str) -> Value {
    match provider {
        "brave" => json!([
            {"title": "Tom &amp; Jerry&#x27;s", "url": "https://a.example/1", "is_source_local": false,
             "description": "A cat \u{2026} and a mouse", "page_age": "2025-01-15T08:30:00",
             "language": "en", "profile": {"name": "A"}},
            {"title": "Other", "url": "https://b.example/", "description": null},
        ]),
        "searxng" => json!([
            {"title": "Tom & Jerry's", "url": "https://a.example/1", "engine": "duckduckgo",
             "content": "A cat \u{2026} and a mouse", "publishedDate": "2025-01-15T00:00:00",
             "score": 2.0, "category": "general"},
            {"title": "Other", "url": "https://b.example/", "content": "", "publishedDate": null},
        ]),
        _ => json!([
            {"title": "Tom & Jerry's", "url": "https://a.example/1", "score": 0.81,
             "content": "A cat \u{2026}\n and a mouse", "raw_content": null,
             "published_date": "2025-01-15"},
            {"title": "Other", "url": "https://b.example/", "content": "", "score": 0.5},
        ]),
    }
}

async fn failed(provider: &str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> SearchError {
    let (tool, _server) = world(provider, &[], reply).await;
    let error = tool.search(&search("words")).await.expect_err(provider);
    assert!(!format!("{error:?} {error}").contains(KEY), "{error:?}");
    error
}

fn told(error: SearchError) -> String {
    let told = Refusal::from(error).as_str().to_owned();
    assert!(!told.contains(KEY), "{told}");
    told
}

#[tokio::test]
async fn all_providers_give_the_same_list() {
    let wanted = [
        Hit::of(
            "Tom & Jerry's",
            "https://a.example/1",
            "A cat … and a mouse",
            Some("2025-01-15"),
        ),
        Hit::of("Other", "https://b.example/", "", None),
    ]
    .map(Option::unwrap);
    for provider in PROVIDERS {
        let answer = found(provider, &two_results(provider));
        let (tool, _server) = world(provider, &[], move || json(&answer)).await;
        let hits = tool.search(&search("tom jerry")).await.expect(provider);
        assert_eq!(hits, wanted, "{provider}");
    }
}

#[tokio::test]
async fn a_request_is_what_the_provider_documents() {
    let asked = Search {
        query: " warm & pools ".to_owned(),
        count: Some(3),
        freshness: Some(Freshness::Week),
    };
    for (provider, line, key, body) in [
        (
            "brave",
            "GET /base/res/v1/web/search?q=warm+%26+pools&count=3&result_filter=web\
             &text_decorations=false&freshness=pw HTTP/1.1",
            "x-subscription-token: hunter2-hunter2",
            Value::Null,
        ),
        (
            "searxng",
            "GET /base/search?q=warm+%26+pools&format=json&time_range=week HTTP/1.1",
            "authorization: Bearer hunter2-hunter2",
            Value::Null,
        ),
        (
            "tavily",
            "POST /base/search HTTP/1.1",
            "authorization: Bearer hunter2-hunter2",
            json!({"query": "warm & pools", "max_results": 3, "search_depth": "basic",
                   "time_range": "week"}),
        ),
    ] {
        let answer = found(provider, &json!([]));
        let (tool, server) = world(provider, &[], move || json(&answer)).await;
        assert_eq!(tool.search(&asked).await.expect(provider), []);
        let request = server.requests().remove(0);
        let (head, sent) = request.split_once("\r\n\r\n").expect("a head");
        assert_eq!(head.lines().next(), Some(line));
        assert!(head.lines().any(|header| header == key), "{head}");
        assert!(head.contains("\r\naccept: application/json\r\n"), "{head}");
        let sent: Value = serde_json::from_str(sent).unwrap_or_default();
        assert_eq!(sent, body, "{provider}");
    }
}

#[tokio::test]
async fn there_are_never_more_results_than_wanted() {
    let many: Value = (0..50)
        .map(|n| json!({"title": "x", "url": format!("https://a.example/{n}")}))
        .collect();
    for provider in PROVIDERS {
        let answer = found(provider, &many);
        let more = [("tools.webSearch.maxResults", "5")];
        let (tool, _server) = world(provider, &more, move || json(&answer)).await;
        for (count, given) in [(None, 5), (Some(2), 2), (Some(0), 1), (Some(u32::MAX), 5)] {
            let asked = Search {
                count,
                ..search("x")
            };
            let hits = tool.search(&asked).await.expect(provider);
            assert_eq!(hits.len(), given, "{provider} {count:?}");
        }
    }
}

#[tokio::test]
async fn results_that_are_of_no_use_are_left_out() {
    let odd = json!([{}, {"url": "javascript:alert(1)", "title": "x"}, {"title": "no URL"},
                     {"url": "https://a.example/", "title": "y"}]);
    for provider in PROVIDERS {
        let answer = found(provider, &odd);
        let (tool, _server) = world(provider, &[], move || json(&answer)).await;
        let hits = tool.search(&search("x")).await.expect(provider);
        assert_eq!(
            hits,
            [Hit::of("y", "https://a.example/", "", None).unwrap()]
        );
    }
    // Brave leaves `web` out when it has found nothing.
    let (tool, _server) = world("brave", &[], || json(&json!({"type": "search"}))).await;
    assert_eq!(tool.search(&search("x")).await.unwrap(), []);
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_without_it() {
    for (provider, status) in [
        ("brave", "401 No"),
        ("brave", "403 No"),
        ("tavily", "401 No"),
    ] {
        let error = failed(provider, move || Reply::with(status, "", KEY)).await;
        assert!(matches!(error, SearchError::Key { .. }), "{error:?}");
        assert!(told(error).contains("`tools.webSearch.apiKey`"));
    }
    let invalid = json!({"type": "ErrorResponse", "error": {"id": "x", "status": 422,
        "code": "SUBSCRIPTION_TOKEN_INVALID", "detail": "The provided token is invalid."}});
    let error = failed("brave", move || {
        Reply::with("422 No", "", invalid.to_string())
    });
    assert!(matches!(error.await, SearchError::Key { .. }));
    let error = failed("brave", || Reply::with("422 No", "", "{}")).await;
    assert!(matches!(error, SearchError::Rejected { .. }), "{error:?}");
    let error = failed("searxng", || Reply::with("403 Forbidden", "", "")).await;
    assert!(told(error).contains("`search.formats`"));
}

#[tokio::test]
async fn a_limit_is_told_with_the_time_to_wait() {
    for (provider, headers, wait) in [
        ("tavily", "retry-after: 17\r\n", "in 17 s"),
        ("searxng", "retry-after: 0\r\n", "in 1 s"),
        ("brave", "x-ratelimit-reset: 2, 1419704\r\n", "in 2 s"),
        ("brave", "retry-after: 99999999999\r\n", "in 86400 s"),
        ("brave", "", "in a minute"),
        (
            "tavily",
            "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            "in a minute",
        ),
    ] {
        let error = failed(provider, move || Reply::with("429 Slow down", headers, "")).await;
        assert!(matches!(error, SearchError::Limited { .. }), "{error:?}");
        let told = told(error);
        assert!(told.contains(wait), "{told}");
    }
    for status in ["432 Plan", "433 Budget"] {
        let error = failed("tavily", move || Reply::with(status, "", "")).await;
        assert!(matches!(error, SearchError::UsedUp { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn other_failures_are_told_apart() {
    for provider in PROVIDERS {
        let error = failed(provider, || Reply::with("500 Oh", "", "")).await;
        assert!(
            matches!(error, SearchError::Status { status: 500, .. }),
            "{error:?}"
        );
        let quoting = format!("{{\"results\": \"{KEY}\", \"web\": \"{KEY}\"}}");
        for body in ["", "<html>", "[]", "{\"results\": 5, \"web\": 5}", &quoting] {
            let sent = body.to_owned();
            let error = failed(provider, move || Reply::ok("application/json", &sent)).await;
            assert!(
                matches!(error, SearchError::Unreadable { .. }),
                "{body}: {error:?}"
            );
        }
        let error = failed(provider, || Reply::Bytes(b"no HTTP".to_vec())).await;
        assert!(matches!(error, SearchError::Unreached { .. }), "{error:?}");
        let error = failed(provider, || {
            let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            Reply::Endless(head, vec![b' '; 1 << 16])
        });
        let error = error.await;
        assert!(matches!(error, SearchError::Unreadable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_key_does_not_follow_a_redirect() {
    let elsewhere = Server::start(|_| Reply::ok("application/json", "{}")).await;
    let location = elsewhere.url("/");
    let error = failed("brave", move || Reply::to(&location)).await;
    assert!(
        matches!(error, SearchError::Status { status: 302, .. }),
        "{error:?}"
    );
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_slow_provider_is_not_waited_for() {
    let more = [("tools.webSearch.timeoutMs", "100")];
    let (tool, _server) = world("tavily", &more, || Reply::Stall(Vec::new())).await;
    let error = tool.search(&search("x")).await.unwrap_err();
    assert!(matches!(error, SearchError::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_provider_it_is_told_how_to_get_one() {
    let tool = WebSearch::new(&configured(&[]));
    let told = told(tool.search(&search("x")).await.unwrap_err());
    for name in ["brave", "tavily", "searxng", "`tools.webSearch.provider`"] {
        assert!(told.contains(name), "{told}");
    }
}

#[tokio::test]
async fn a_query_has_some_words_but_no_book() {
    let (tool, server) = world("brave", &[], || json(&json!({}))).await;
    for query in ["", " \n ", &"ä".repeat(401)] {
        let error = tool.search(&search(query)).await.unwrap_err();
        assert!(matches!(error, SearchError::Query(400)), "{error:?}");
    }
    assert!(server.requests().is_empty());
    assert_eq!(tool.search(&search(&"ä".repeat(400))).await.unwrap(), []);
}
