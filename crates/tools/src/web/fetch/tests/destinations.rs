//! Where a fetch may lead.

use std::sync::Arc;

use ccpool_outbound::System;

use super::*;
use crate::Refusal;
use crate::web::fetch::location::LocationError;

#[tokio::test]
async fn a_private_address_is_refused_in_whatever_form() {
    let (tool, names, server) = world(&[], |_| Reply::ok("text/plain", "secret")).await;
    names.set("inner.example", &[&["10.0.0.7"]]);
    names.set("metadata.example", &[&["169.254.169.254"]]);
    names.set("mapped.example", &[&["::ffff:127.0.0.1"]]);
    names.set("nat64.example", &[&["64:ff9b::7f00:1"]]);
    names.set(
        "mixed.example",
        &[&[PUBLIC, "2606:4700::1111", "127.0.0.1"]],
    );
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "017700000001",
        "0.0.0.0",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "inner.example",
        "metadata.example",
        "mapped.example",
        "nat64.example",
        "mixed.example",
    ] {
        let error = refused(&tool, &format!("http://{host}:{port}/")).await;
        assert!(
            matches!(error, FetchError::NotPublic { .. }),
            "{host}: {error:?}"
        );
        let told = Refusal::from(error);
        assert!(!told.as_str().contains("10.0.0.7"), "{told:?}");
    }
    assert_eq!(names.connected(), [""; 0]);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let (tool, names, _server) = world(&[], |target| match target {
        "/again" => Reply::to("/once"),
        _ => Reply::ok("text/plain", "words"),
    })
    .await;
    // Public for whoever checks, loopback for whoever looks a second time.
    names.set("rebinding.example", &[&[PUBLIC], &["127.0.0.1"]]);
    let text = fetched(&tool, "http://rebinding.example:81/once").await;
    assert!(text.ends_with("words"), "{text}");
    assert_eq!(names.looked_up(), ["rebinding.example"]);
    assert_eq!(names.connected(), [format!("{PUBLIC}:81")]);

    // A redirect is a step of its own, whose host is looked up and checked anew.
    names.set("rebinding.example", &[&[PUBLIC], &["127.0.0.1"]]);
    let error = refused(&tool, "http://rebinding.example:81/again").await;
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error:?}");
    assert_eq!(
        names.connected(),
        [format!("{PUBLIC}:81"), format!("{PUBLIC}:81")]
    );
}

#[tokio::test]
async fn a_redirect_may_not_lead_inside() {
    let (tool, names, server) = world(&[], |target| {
        Reply::to(match target {
            "/literal" => "http://127.0.0.1/",
            "/number" => "http://2852039166/latest/meta-data",
            "/name" => "http://inner.example/",
            "/file" => "file:///etc/passwd",
            "/user" => "http://me:too@example.org/",
            other => panic!("nobody asked for {other}"),
        })
    })
    .await;
    names.set("inner.example", &[&["192.168.0.1"]]);
    for path in ["literal", "number", "name"] {
        let error = refused(&tool, &format!("http://example.org/{path}")).await;
        assert!(
            matches!(error, FetchError::NotPublic { .. }),
            "{path}: {error:?}"
        );
    }
    for (path, why) in [
        ("file", LocationError::Scheme),
        ("user", LocationError::Credentials),
    ] {
        let error = refused(&tool, &format!("http://example.org/{path}")).await;
        assert!(
            matches!(&error, FetchError::Redirect(found) if *found == why),
            "{path}: {error:?}"
        );
    }
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn redirects_are_followed_so_many_times() {
    let keys = [("tools.webFetch.maxRedirects", "3")];
    let (tool, _, server) = world(&keys, |target| match target {
        "/0" => Reply::ok("text/plain", "here at last"),
        "/loop" => Reply::to("/loop"),
        other => {
            let left: u32 = other[1..].parse().expect("a number");
            Reply::to(&format!("http://example.org/{}", left - 1))
        }
    })
    .await;
    let text = fetched(&tool, "http://example.org/3").await;
    assert!(
        text.starts_with("http://example.org/0 answered 200 OK"),
        "{text}"
    );
    for path in ["4", "loop"] {
        let before = server.requests().len();
        let error = refused(&tool, &format!("http://example.org/{path}")).await;
        assert!(
            matches!(error, FetchError::TooManyRedirects(3)),
            "{error:?}"
        );
        assert_eq!(server.requests().len() - before, 4);
    }
}

#[tokio::test]
async fn an_allowed_network_is_fetched_from() {
    let server = Server::start(|_| Reply::ok("text/plain", "of the intranet")).await;
    let keys = [("tools.webFetch.allowNetworks", "[\"127.0.0.0/8\"]")];
    let tool = |keys: &[(&str, &str)]| {
        let config = configured(keys).tools.web_fetch;
        WebFetch::over(config, Arc::new(System), Tls::default())
    };
    let text = fetched(&tool(&keys), &server.url("/")).await;
    assert!(text.ends_with("of the intranet"), "{text}");
    let error = refused(&tool(&[]), &server.url("/")).await;
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error:?}");
    let error = refused(&tool(&[]), "http://localhost/").await;
    assert!(matches!(error, FetchError::NotPublic { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_makes_room_for_the_next() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let names = Arc::new(Names::leading_to(nobody));
    names.set("example.org", &[&["93.184.216.34", "2606:4700::1111"]]);
    let config = configured(&[]).tools.web_fetch;
    let tool = WebFetch::over(config, names.clone(), Tls::default());
    let error = refused(&tool, "http://example.org/").await;
    assert!(matches!(error, FetchError::Exchange { .. }), "{error:?}");
    assert_eq!(
        names.connected(),
        ["93.184.216.34:80", "[2606:4700::1111]:80"]
    );
    let error = refused(&tool, "http://unknown.example/").await;
    assert!(matches!(error, FetchError::Unknown { .. }), "{error:?}");
}
