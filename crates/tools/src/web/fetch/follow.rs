use std::net::SocketAddr;

use bytes::Bytes;
use ccpool::config;
use ccpool_outbound::{Incoming, Network, Outgoing, Tls, exchange};
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, StatusCode};
use url::{Host, Url};

use super::address::may_be_fetched;
use super::error::FetchError;
use super::location::redirected;

/// What is told to servers about who asks.
const AGENT: &str = concat!("ccpool/", env!("CARGO_PKG_VERSION"));

/// Asks for a page, and follows redirects. Each step is checked anew: its URL, and every address of its
/// host. Gives the URL that answered.
pub(super) async fn follow(
    network: &dyn Network,
    tls: &Tls,
    config: &config::WebFetch,
    mut url: Url,
) -> Result<(Url, Incoming), FetchError> {
    let mut redirects = 0;
    loop {
        let host = url.host_str().unwrap_or_default().to_owned();
        let addresses = resolved(network, config, &url).await?;
        let request = Outgoing {
            method: Method::GET,
            url: url.clone(),
            headers: headers(),
            body: Bytes::new(),
        };
        let answer = exchange(network, tls, &addresses, request)
            .await
            .map_err(|source| FetchError::Exchange { host, source })?;
        let Some(location) = location(&answer) else {
            return Ok((url, answer));
        };
        if redirects == config.max_redirects {
            return Err(FetchError::TooManyRedirects(config.max_redirects));
        }
        redirects += 1;
        url = redirected(&url, location).map_err(FetchError::Redirect)?;
    }
}

/// The addresses of a URL's host, none of which is one that may not be fetched from. What is connected
/// to afterwards are these, so it does not matter what the name means a moment later.
async fn resolved(
    network: &dyn Network,
    config: &config::WebFetch,
    url: &Url,
) -> Result<Vec<SocketAddr>, FetchError> {
    let host = || url.host_str().unwrap_or_default().to_owned();
    let found = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(name)) => match network.lookup(name).await {
            Ok(found) if !found.is_empty() => found,
            Ok(_) | Err(_) => return Err(FetchError::Unknown { host: host() }),
        },
        None => return Err(FetchError::Unknown { host: host() }),
    };
    let allowed = &config.allow_networks;
    if !found.iter().all(|at| may_be_fetched(*at, allowed)) {
        return Err(FetchError::NotPublic { host: host() });
    }
    let port = url.port_or_known_default().unwrap_or(80);
    Ok(found
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

fn headers() -> HeaderMap {
    const TYPES: &str =
        "text/markdown, text/html;q=0.9, application/xhtml+xml;q=0.9, text/plain;q=0.8, */*;q=0.5";
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static(TYPES));
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static("gzip, deflate, br"),
    );
    headers
}

fn location(answer: &Incoming) -> Option<&[u8]> {
    let leads_on = matches!(
        answer.head.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = answer.head.headers.get(LOCATION)?;
    leads_on.then(|| location.as_bytes())
}
