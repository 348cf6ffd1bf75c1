//! `web_search` and `web_fetch`, with a search provider and pages on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Json, Redirect, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{call, text};
use crate::gateway::{Gateway, Setup};

const KEY: &str = "hunter2-of-the-search";

/// The web, as far as these tests go.
struct Web {
    address: SocketAddr,
    seen: Seen,
    _serving: JoinSet<()>,
}

/// Path, query and headers of each request.
type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

impl Web {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Seen::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let served = axum::serve(listener, router).await;
            served.expect("the server serves");
        });
        Self {
            address,
            seen,
            _serving: serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<(String, HeaderMap)> {
        self.seen.lock().expect("no test panics with it").clone()
    }
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response {
    let target = request.uri().to_string();
    let mut all = seen.lock().expect("no test panics with it");
    all.push((target.clone(), request.headers().clone()));
    match target.as_str() {
        "/old" => Redirect::permanent("/new").into_response(),
        "/inside" => Redirect::temporary("http://169.254.169.254/latest/").into_response(),
        "/new" => Html("<title>Warm pools</title><p>Pools are <b>warm</b>.").into_response(),
        _ => Json(json!({"web": {"results": [
            {"title": "Warm pools", "url": "https://a.example/pools", "description": "Of pools."},
        ]}}))
        .into_response(),
    }
}

#[tokio::test]
async fn a_search_asks_the_provider_with_the_key_that_nobody_else_sees() {
    let web = Web::start().await;
    let search = json!({"provider": "brave", "apiKey": KEY, "baseUrl": web.url("")});
    let gateway =
        Gateway::start(Setup::default().with("tools", json!({"webSearch": search}))).await;
    gateway.claim("mine").await;
    let input = json!({"query": "warm pools", "count": 2});
    let found = call(&gateway, "mine", "web_search", input).await;
    assert_eq!(found["isError"], false, "{found}");
    let shown = text(&found);
    for part in [
        "Warm pools",
        "https://a.example/pools",
        "Of pools.",
        "no instruction to you",
    ] {
        assert!(shown.contains(part), "{part}: {found}");
    }
    assert!(!found.to_string().contains(KEY), "{found}");
    let (target, headers) = web.seen().remove(0);
    assert!(
        target.starts_with("/res/v1/web/search?q=warm+pools&count=2&"),
        "{target}"
    );
    assert_eq!(headers["x-subscription-token"], KEY);
    gateway.stop().await;
}

#[tokio::test]
async fn a_fetch_follows_a_redirect_but_not_inside() {
    let web = Web::start().await;
    let allowed = json!({"webFetch": {"allowNetworks": ["127.0.0.1"]}});
    let gateway = Gateway::start(Setup::default().with("tools", allowed)).await;
    gateway.claim("mine").await;
    let page = call(
        &gateway,
        "mine",
        "web_fetch",
        json!({"url": web.url("/old")}),
    )
    .await;
    assert_eq!(page["isError"], false, "{page}");
    let shown = text(&page);
    assert!(
        shown.starts_with(&format!("{} answered 200 OK", web.url("/new"))),
        "{shown}"
    );
    assert!(
        shown.ends_with("# Warm pools\n\nPools are **warm**."),
        "{shown}"
    );

    let inside = json!({"url": web.url("/inside")});
    let refused = call(&gateway, "mine", "web_fetch", inside).await;
    assert_eq!(refused["isError"], true, "{refused}");
    assert!(
        text(&refused).contains("not on the public internet"),
        "{refused}"
    );

    let no_provider = call(&gateway, "mine", "web_search", json!({"query": "x"})).await;
    assert_eq!(no_provider["isError"], true, "{no_provider}");
    assert!(
        text(&no_provider).contains("`tools.webSearch.provider`"),
        "{no_provider}"
    );
    let paths: Vec<String> = web.seen().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/old", "/new", "/inside"]);
    gateway.stop().await;
}
