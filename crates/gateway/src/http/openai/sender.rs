//! Who asks, on whose behalf, and in which conversation.

use std::fmt::Write as _;

use ccpool::AgentId;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::field::Fields;
use crate::http::auth::bearer;

const SESSION: HeaderName = HeaderName::from_static("x-session-id");
const AFFINITY: HeaderName = HeaderName::from_static("x-session-affinity");
/// Open WebUI asks for titles, tags and follow-ups of a chat under the chat's own name.
const OPEN_WEBUI_CHAT: HeaderName = HeaderName::from_static("x-openwebui-chat-id");
const AGENT: HeaderName = HeaderName::from_static("x-agent-id");

/// Longer names are a mistake.
const LONGEST_NAME: usize = 512;

/// What a request says of its sender.
#[derive(Debug, PartialEq)]
pub(super) struct Sender {
    /// The same for the same bearer token and the same `user`, and for no others; tells neither.
    pub(super) caller: String,
    /// On whose behalf.
    pub(super) agent: AgentId,
    /// The sender's name for the conversation.
    pub(super) name: Option<String>,
    /// The sender has other conversations of the same name.
    pub(super) shares_name: bool,
}

impl Sender {
    /// Reads the headers, and of the body what belongs to it.
    pub(super) fn of(headers: &HeaderMap, body: &mut Fields) -> Result<Self, ApiError> {
        let agent = match header(headers, &AGENT)? {
            Some(agent) => agent
                .parse()
                .map_err(|error| ApiError::invalid("X-Agent-Id", format!("X-Agent-Id: {error}")))?,
            None => AgentId::default(),
        };
        let mut names = vec![("X-Session-Id", header(headers, &SESSION)?)];
        if let Some(mut metadata) = body.take("metadata").object()? {
            let name = metadata.take("session_id").text()?;
            names.push(("metadata.session_id", name));
        }
        let key = body.take("prompt_cache_key").text()?;
        names.push(("prompt_cache_key", key));
        names.push(("X-Session-Affinity", header(headers, &AFFINITY)?));
        const SHARED: &str = "X-OpenWebUI-Chat-Id";
        names.push((SHARED, header(headers, &OPEN_WEBUI_CHAT)?));
        let is_named = |(place, name): (&'static str, Option<String>)| {
            let name = name.filter(|name| !name.is_empty())?;
            Some((place, name))
        };
        let named = names.into_iter().find_map(is_named);
        if let Some((place, name)) = &named
            && name.len() > LONGEST_NAME
        {
            let message = format!("{place} is longer than {LONGEST_NAME} bytes");
            return Err(ApiError::invalid(*place, message));
        }
        let shares_name = named.as_ref().is_some_and(|(place, _)| *place == SHARED);
        let name = named.map(|(_, name)| name);
        let safety = body.take("safety_identifier").text()?;
        let user = body.take("user").text()?.or(safety);
        Ok(Self {
            caller: caller(bearer(headers), user.as_deref()),
            agent,
            name,
            shares_name,
        })
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
        Err(_) => {
            let message = format!("the header {name} must be visible ASCII");
            Err(ApiError::invalid(name.as_str(), message))
        }
    }
}

/// A hash, so that nobody learns a token or a name from where conversations are kept.
fn caller(token: Option<&str>, user: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for part in [token, user] {
        // With its length, so that no two senders are spelled alike.
        let text = part.unwrap_or_default();
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut written = String::new();
    for byte in hash.finalize() {
        write!(written, "{byte:02x}").expect("a string takes everything");
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::field::Field;
    use super::*;

    fn of(headers: &[(&'static str, &str)], body: Value) -> Result<Sender, String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let mut body = Field::body(body).needed_object().expect("an object");
        Sender::of(&headers, &mut body).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_nearest_name_wins() {
        let body = json!({"metadata": {"session_id": "m"}, "prompt_cache_key": "k"});
        let name = |headers: &[(&'static str, &str)], body: Value| of(headers, body).unwrap().name;
        let header = [("x-session-id", "h")];
        assert_eq!(name(&header, body.clone()).as_deref(), Some("h"));
        assert_eq!(name(&[], body).as_deref(), Some("m"));
        let key = json!({"metadata": {"session_id": ""}, "prompt_cache_key": "k"});
        assert_eq!(name(&[], key.clone()).as_deref(), Some("k"));
        assert_eq!(name(&[("x-session-id", "")], json!({})), None);
        let others = [("x-session-affinity", "a"), ("x-openwebui-chat-id", "w")];
        assert_eq!(name(&others, key).as_deref(), Some("k"));
        assert_eq!(name(&others, json!({})).as_deref(), Some("a"));
        assert_eq!(name(&others[1..], json!({})).as_deref(), Some("w"));
        let shares = |headers: &[(&'static str, &str)]| of(headers, json!({})).unwrap().shares_name;
        assert!(shares(&others[1..]));
        assert!(!shares(&others) && !shares(&header) && !shares(&[]));
        assert!(of(&[], json!({"metadata": {"session_id": 7}})).is_err());
        let long = "x".repeat(LONGEST_NAME + 1);
        let said = of(&[], json!({"prompt_cache_key": long})).unwrap_err();
        assert_eq!(said, "prompt_cache_key is longer than 512 bytes");
        assert!(of(&[("x-session-id", "ä")], json!({})).is_err());
    }

    #[test]
    fn callers_are_told_apart_by_token_and_user() {
        let caller = |token: Option<&str>, user: Value| {
            let header = token.map(|token| ("authorization", token));
            let headers: Vec<_> = header.into_iter().collect();
            of(&headers, json!({"user": user})).unwrap().caller
        };
        let all = [
            caller(None, json!(null)),
            caller(Some("Bearer ab"), json!(null)),
            caller(Some("Bearer ab"), json!("c")),
            caller(Some("Bearer a"), json!("bc")),
            caller(None, json!("abc")),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
        assert_eq!(caller(Some("bearer ab"), json!("c")), all[2]);
        assert!(!all.iter().any(|caller| caller.contains("ab c")));
        assert_eq!(all[0].len(), 64);
    }

    #[test]
    fn agents_follow_their_rule() {
        let agent = |name: &str| of(&[("x-agent-id", name)], json!({})).map(|sender| sender.agent);
        assert_eq!(agent("reviewer").unwrap().as_str(), "reviewer");
        assert!(agent("a b").unwrap_err().starts_with("X-Agent-Id: "));
        assert_eq!(of(&[], json!({})).unwrap().agent, AgentId::default());
    }
}
