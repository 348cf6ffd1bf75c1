//! Which URLs may be asked for.

use url::{Host, Url};

/// Longer URLs are no help.
const LONGEST: usize = 4096;

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocationError {
    #[error("it is no URL")]
    NoUrl,
    #[error("it is longer than 4096 letters")]
    TooLong,
    #[error("it is neither http nor https")]
    Scheme,
    #[error("it names a user or password")]
    Credentials,
    #[error("it leads from https to http")]
    Downgrade,
}

/// A URL as it was given.
///
/// # Errors
/// What is wrong with it.
pub(super) fn given(text: &str) -> Result<Url, LocationError> {
    if text.len() > LONGEST {
        return Err(LocationError::TooLong);
    }
    let url = Url::parse(text.trim()).map_err(|_| LocationError::NoUrl)?;
    checked(url)
}

/// Where a redirect leads.
///
/// # Errors
/// What is wrong with that. From https to http no redirect is followed: whoever sits between could
/// read and change what a server meant to protect.
pub(super) fn redirected(from: &Url, location: &[u8]) -> Result<Url, LocationError> {
    let location = std::str::from_utf8(location).map_err(|_| LocationError::NoUrl)?;
    if location.len() > LONGEST {
        return Err(LocationError::TooLong);
    }
    let to = checked(from.join(location).map_err(|_| LocationError::NoUrl)?)?;
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(LocationError::Downgrade);
    }
    Ok(to)
}

/// The fragment is taken away: servers never see it.
fn checked(mut url: Url) -> Result<Url, LocationError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(LocationError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LocationError::Credentials);
    }
    if matches!(url.host(), None | Some(Host::Domain(""))) {
        return Err(LocationError::NoUrl);
    }
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn urls_that_may_be_asked_for() {
        for (text, url) in [
            ("https://example.org", "https://example.org/"),
            (
                " http://example.org:8080/a?b#c ",
                "http://example.org:8080/a?b",
            ),
            ("HTTPS://Ex%41mple.org", "https://example.org/"),
            (
                "https://bücher.example/ä",
                "https://xn--bcher-kva.example/%C3%A4",
            ),
        ] {
            assert_eq!(given(text).map(String::from), Ok(url.to_owned()));
        }
    }

    #[test]
    fn urls_that_may_not() {
        for (text, error) in [
            ("", LocationError::NoUrl),
            ("example.org", LocationError::NoUrl),
            ("http://", LocationError::NoUrl),
            ("http://exa mple.org", LocationError::NoUrl),
            ("http://1.2.3.4.5/", LocationError::NoUrl),
            ("file:///etc/passwd", LocationError::Scheme),
            ("ftp://example.org", LocationError::Scheme),
            ("gopher://example.org", LocationError::Scheme),
            ("http://me@example.org", LocationError::Credentials),
            ("http://:secret@example.org", LocationError::Credentials),
            (
                &format!("http://a/{}", "a".repeat(4096)),
                LocationError::TooLong,
            ),
        ] {
            assert_eq!(given(text), Err(error), "{text}");
        }
    }

    #[test]
    fn every_form_of_an_address_is_that_address() {
        for form in [
            "http://127.0.0.1",
            "http://2130706433",
            "http://017700000001",
            "http://0x7f000001",
            "http://0x7f.0.0.1",
            "http://127.1",
            "http://127.0.0.1.",
            "http://1２7.0.0.1",
        ] {
            let url = given(form).expect(form);
            assert_eq!(url.host(), Some(Host::Ipv4(Ipv4Addr::LOCALHOST)), "{form}");
        }
        let url = given("http://[::ffff:7f00:1]").expect("an address");
        let Some(Host::Ipv6(address)) = url.host() else {
            panic!("no address: {url}");
        };
        assert_eq!(address.to_ipv4_mapped(), Some(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn redirects() {
        let from = given("https://example.org/a/b").unwrap();
        let to = |location: &str| redirected(&from, location.as_bytes()).map(String::from);
        assert_eq!(to("../c"), Ok("https://example.org/c".to_owned()));
        assert_eq!(to("//other.org/x"), Ok("https://other.org/x".to_owned()));
        assert_eq!(to("http://example.org/"), Err(LocationError::Downgrade));
        assert_eq!(to("file:///etc/passwd"), Err(LocationError::Scheme));
        assert_eq!(
            to("https://me:too@example.org"),
            Err(LocationError::Credentials)
        );
        assert_eq!(redirected(&from, b"\xff"), Err(LocationError::NoUrl));
        let from = given("http://example.org/").unwrap();
        assert!(redirected(&from, b"https://example.org/").is_ok());
    }
}
