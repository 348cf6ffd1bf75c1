//! Fetching from servers of all sorts, on loopback. Names lead where each test says.

mod arguments;
mod content;
mod destinations;
mod names;
mod tls;

use std::sync::Arc;

use ccpool_outbound::Tls;
use names::Names;

use super::error::FetchError;
use super::tool::{Page, WebFetch};
use crate::web::loopback::{Reply, Server, configured};

/// A public address that nobody is asked at: `Names` connects to the test's own server.
const PUBLIC: &str = "93.184.216.34";

/// A server that is the only one in the world, for the tool that is given back with it.
async fn world(
    keys: &[(&str, &str)],
    reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (WebFetch, Arc<Names>, Server) {
    let server = Server::start(reply).await;
    let names = Arc::new(Names::leading_to(server.address));
    names.set("example.org", &[&[PUBLIC]]);
    let config = configured(keys).tools.web_fetch;
    let tool = WebFetch::over(config, names.clone(), Tls::default());
    (tool, names, server)
}

fn page(url: &str) -> Page {
    Page {
        url: url.to_owned(),
        max_chars: None,
        offset: None,
        raw: None,
    }
}

async fn fetched(tool: &WebFetch, url: &str) -> String {
    tool.fetch(&page(url)).await.expect("a page")
}

async fn refused(tool: &WebFetch, url: &str) -> FetchError {
    tool.fetch(&page(url)).await.expect_err("a refusal")
}
