//! https.

use std::sync::Arc;

use ccpool_outbound::ExchangeError;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::web::fetch::location::LocationError;

/// A server for `example.org`, and tools that trust it and that do not.
async fn secure_world() -> (WebFetch, WebFetch, Server) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .unwrap();
    let server = Server::start_tls(config, |target| match target {
        "/down" => Reply::to("http://example.org/"),
        _ => Reply::ok("text/plain", "in private"),
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let tool = |roots: RootCertStore| {
        let names = Names::leading_to(server.address);
        names.set("example.org", &[&[PUBLIC]]);
        names.set("other.example", &[&[PUBLIC]]);
        let config = configured(&[]).tools.web_fetch;
        WebFetch::over(config, Arc::new(names), Tls::trusting(roots))
    };
    (tool(roots), tool(RootCertStore::empty()), server)
}

fn is_tls(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Exchange {
            source: ExchangeError::Tls(_),
            ..
        }
    )
}

#[tokio::test]
async fn a_server_is_the_one_that_the_url_names() {
    let (trusting, doubting, server) = secure_world().await;
    let text = fetched(&trusting, "https://example.org/").await;
    assert!(text.ends_with("in private"), "{text}");
    assert_eq!(server.requests().len(), 1);

    let error = refused(&trusting, "https://other.example/").await;
    assert!(is_tls(&error), "{error:?}");
    let error = refused(&trusting, &format!("https://{PUBLIC}/")).await;
    assert!(is_tls(&error), "{error:?}");
    let error = refused(&doubting, "https://example.org/").await;
    assert!(is_tls(&error), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn no_redirect_leads_from_https_to_http() {
    let (tool, _, _server) = secure_world().await;
    let error = refused(&tool, "https://example.org/down").await;
    assert!(
        matches!(error, FetchError::Redirect(LocationError::Downgrade)),
        "{error:?}"
    );
}

#[tokio::test]
async fn who_is_trusted_is_up_to_this_host() {
    let (_, _, server) = secure_world().await;
    let names = Names::leading_to(server.address);
    names.set("example.org", &[&[PUBLIC]]);
    let config = configured(&[]).tools.web_fetch;
    let tool = WebFetch::over(config, Arc::new(names), Tls::default());
    // No host trusts a key that was made a moment ago; some trust nobody.
    let error = refused(&tool, "https://example.org/").await;
    let is_distrust = matches!(
        error,
        FetchError::Exchange {
            source: ExchangeError::Tls(_) | ExchangeError::NoAuthorities,
            ..
        }
    );
    assert!(is_distrust, "{error:?}");
    assert!(server.requests().is_empty());
}
