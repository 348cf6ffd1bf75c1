//! Who may talk to the gateway: the bearer token, and without one the checks of the `Host` and
//! `Origin` headers that keep web pages from using a loopback gateway behind a person's back,
//! through a name of their own or by a form.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ccpool::config::{Http, Secret};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// Answers anyone: says nothing but that the process lives.
pub(crate) const LIVEZ: &str = "/livez";

/// Has tokens and a host check of its own.
pub(crate) const MCP: &str = "/mcp";

/// What a request must show.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    token: Option<Secret>,
    /// Names that a request may call this gateway by; none: any.
    hosts: Option<Vec<String>>,
}

impl Gate {
    /// The gate of a gateway that listens on `listen`.
    pub(crate) fn new(http: &Http, listen: SocketAddr) -> Self {
        let guarded_by_name = http.token.is_none() && listen.ip().is_loopback();
        let hosts = || {
            let ip = listen.ip();
            let own = if ip.is_ipv6() {
                format!("[{ip}]")
            } else {
                ip.to_string()
            };
            let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"]
                .map(str::to_owned)
                .to_vec();
            hosts.push(own);
            hosts
        };
        Self {
            token: http.token.clone(),
            hosts: guarded_by_name.then(hosts),
        }
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
        if path == LIVEZ || path == MCP {
            return Ok(());
        }
        if let Some(hosts) = &self.hosts {
            check_host(hosts, headers)?;
            check_origin(hosts, headers)?;
        }
        match &self.token {
            Some(token) => check_token(token, headers),
            None => Ok(()),
        }
    }
}

/// Lets a request through, or answers it with what it lacks.
pub(crate) async fn guard(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.check(request.uri().path(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_host(hosts: &[String], headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers.get(HOST).and_then(|value| value.to_str().ok());
    if named.is_some_and(|name| is_known(hosts, name)) {
        return Ok(());
    }
    Err(stranger(
        "this gateway is not known by the name in the Host header",
    ))
}

/// Programs send no `Origin`; a browser sends the page's.
fn check_origin(hosts: &[String], headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let page = origin.to_str().ok().and_then(|text| text.split_once("://"));
    if page.is_some_and(|(_, name)| is_known(hosts, name)) {
        return Ok(());
    }
    Err(stranger("pages of other origins may not use this gateway"))
}

fn is_known(hosts: &[String], name: &str) -> bool {
    let name = name.parse::<Authority>();
    name.is_ok_and(|name| {
        hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(name.host()))
    })
}

fn stranger(detail: &str) -> Problem {
    Problem::refused(StatusCode::FORBIDDEN, "unknown-host", detail)
        .mend("use localhost or 127.0.0.1, or set http.token and send it")
}

fn check_token(token: &Secret, headers: &HeaderMap) -> Result<(), Problem> {
    match bearer(headers) {
        Some(given) if same(given, token.expose()) => Ok(()),
        Some(_) => Err(Problem::unauthorized("the bearer token is wrong")
            .mend("send the token that the gateway has as http.token")),
        None => Err(
            Problem::unauthorized("this gateway asks for a bearer token")
                .mend("send `Authorization: Bearer` and the token that it has as http.token"),
        ),
    }
}

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in a time that tells neither content nor length.
fn same(given: &str, wanted: &str) -> bool {
    Sha256::digest(given).ct_eq(&Sha256::digest(wanted)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(listen: &str, token: Option<&str>) -> Gate {
        let listen = listen.parse().unwrap();
        Gate::new(
            &Http {
                listen,
                token: token.map(Secret::new),
            },
            listen,
        )
    }

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn loopback_without_token_goes_by_its_own_names_only() {
        let gate = gate("127.0.0.1:18789", None);
        let check = |host: &str| {
            gate.check("/openapi.json", &headers(&[(HOST, host)]))
                .is_ok()
        };
        for host in ["localhost:18789", "127.0.0.1:1", "[::1]:18789", "LOCALHOST"] {
            assert!(check(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:18789",
            "127.0.0.1.evil",
            "",
            "a b",
        ] {
            assert!(!check(host), "{host}");
        }
        assert!(gate.check("/openapi.json", &HeaderMap::new()).is_err());
        assert!(gate.check(LIVEZ, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn pages_of_other_origins_are_kept_out() {
        let gate = gate("127.0.0.1:18789", None);
        let check = |origin: &str| {
            let headers = headers(&[(HOST, "127.0.0.1:18789"), (ORIGIN, origin)]);
            gate.check("/api/docker-cc/sessions", &headers).is_ok()
        };
        assert!(check("http://localhost:3000"));
        for origin in [
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "",
        ] {
            assert!(!check(origin), "{origin}");
        }
    }

    #[test]
    fn another_loopback_address_is_a_name_too() {
        let gate = gate("127.0.0.2:1", None);
        assert!(gate.check("/", &headers(&[(HOST, "127.0.0.2:1")])).is_ok());
    }

    #[test]
    fn a_token_is_asked_for_and_compared() {
        let gate = gate("0.0.0.0:1", Some("s3cret"));
        let check = |value: &str| gate.check("/", &headers(&[(AUTHORIZATION, value)])).is_ok();
        assert!(check("Bearer s3cret"));
        assert!(check("bearer s3cret"));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer ",
            "Basic s3cret",
            "s3cret",
        ] {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(gate.check("/", &HeaderMap::new()).is_err());
        assert!(gate.check(LIVEZ, &HeaderMap::new()).is_ok());
        assert!(gate.check(MCP, &HeaderMap::new()).is_ok());
        assert!(gate.check("/mcpx", &HeaderMap::new()).is_err());
    }
}
