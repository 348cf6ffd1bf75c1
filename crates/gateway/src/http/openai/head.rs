//! What the head of an answer tells: who answers, where, and why others did not.

use ccpool::provider::{Passed, Reply};
use ccpool::{SessionId, TurnId};
use http::{HeaderMap, HeaderName, HeaderValue};

const PROVIDER: HeaderName = HeaderName::from_static("x-ccpool-provider");
const SESSION: HeaderName = HeaderName::from_static("x-ccpool-session");
const TURN: HeaderName = HeaderName::from_static("x-ccpool-turn");
const PASSED: HeaderName = HeaderName::from_static("x-ccpool-passed");

/// Many proxies take no more than 8 KiB of headers in all.
const LONGEST_MESSAGE: usize = 200;
const LONGEST_VALUE: usize = 1000;

/// Who answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    provider: Option<String>,
    /// As clients name it.
    model: String,
    session: Option<SessionId>,
    turn: Option<TurnId>,
    passed: Vec<Passed>,
}

impl Head {
    /// Of an answer to a request for the model `asked`.
    pub(super) fn of(reply: &Reply, asked: Option<&str>) -> Self {
        let model = if reply.model.is_empty() {
            asked.unwrap_or_default()
        } else {
            &reply.model
        };
        let prefix = format!("{}/", reply.provider);
        let model = model.strip_prefix(&prefix).unwrap_or(model);
        Self {
            provider: Some(reply.provider.clone()),
            model: if model.is_empty() {
                reply.provider.clone()
            } else {
                prefix + model
            },
            session: reply.session.clone(),
            turn: Some(reply.turn.clone()),
            passed: reply.passed.clone(),
        }
    }

    /// Of an answer to a request for this model that nobody has begun yet.
    pub(super) fn of_nobody(asked: &str) -> Self {
        Self {
            provider: None,
            model: asked.to_owned(),
            session: None,
            turn: None,
            passed: Vec::new(),
        }
    }

    /// The model that answers.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// The headers that tell it.
    pub(super) fn headers(&self) -> HeaderMap {
        let session = self.session.as_ref();
        let told = [
            (PROVIDER, self.provider.as_deref()),
            (SESSION, session.map(SessionId::as_str)),
            (TURN, self.turn.as_ref().map(TurnId::as_str)),
        ];
        let told = told.into_iter().filter_map(|(name, value)| {
            let value = visible(value?, LONGEST_VALUE);
            Some((name, value))
        });
        told.chain(passed_header(&self.passed)).collect()
    }
}

/// `X-Ccpool-Passed: docker-claude-code/opus: exhausted (all 20 containers are in use)`, several
/// with semicolons between them. Nothing when nobody was passed over.
pub(super) fn passed_header(passed: &[Passed]) -> Option<(HeaderName, HeaderValue)> {
    if passed.is_empty() {
        return None;
    }
    let each = passed.iter().map(|passed| {
        let why: String = passed.message.chars().take(LONGEST_MESSAGE).collect();
        format!("{}: {} ({why})", passed.provider, passed.kind)
    });
    let all = each.collect::<Vec<_>>().join("; ");
    Some((PASSED, visible(&all, LONGEST_VALUE)))
}

/// What of a text a header can say; the rest is question marks.
fn visible(text: &str, longest: usize) -> HeaderValue {
    let shown = text.chars().take(longest).map(|c| match c {
        ' '..='~' => c,
        '\n' | '\r' | '\t' => ' ',
        _ => '?',
    });
    HeaderValue::from_str(&shown.collect::<String>()).expect("it is visible ASCII")
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::FailureKind;
    use futures::StreamExt;

    use super::*;

    fn reply(model: &str) -> Reply {
        Reply {
            provider: "docker-claude-code".to_owned(),
            model: model.to_owned(),
            session: Some(SessionId::new("s1").unwrap()),
            turn: TurnId::new("t1").unwrap(),
            passed: Vec::new(),
            events: futures::stream::empty().boxed(),
        }
    }

    fn passed(message: &str) -> Passed {
        Passed {
            provider: "docker-claude-code/opus".to_owned(),
            kind: FailureKind::Unavailable,
            message: message.to_owned(),
        }
    }

    #[test]
    fn models_have_one_name() {
        let name = |model: &str, asked: Option<&str>| Head::of(&reply(model), asked).model;
        let whole = "docker-claude-code/opus";
        assert_eq!(name("opus", None), whole);
        assert_eq!(name(whole, Some("haiku")), whole);
        assert_eq!(name("", Some("opus")), whole);
        assert_eq!(name("", Some(whole)), whole);
        assert_eq!(name("", None), "docker-claude-code");
    }

    #[test]
    fn headers_say_who_answers_and_why_others_do_not() {
        let headers = Head::of(&reply("opus"), None).headers();
        assert_eq!(headers[&PROVIDER], "docker-claude-code");
        assert_eq!(
            (&headers[&SESSION], &headers[&TURN]),
            (&"s1".parse().unwrap(), &"t1".parse().unwrap())
        );
        assert!(!headers.contains_key(&PASSED));
        let second = Reply {
            provider: "anthropic".to_owned(),
            session: None,
            passed: vec![passed("no Redis\nat all – sorry")],
            ..reply("claude-x")
        };
        let head = Head::of(&second, Some("opus"));
        assert_eq!(head.model(), "anthropic/claude-x");
        let headers = head.headers();
        assert_eq!(headers[&PROVIDER], "anthropic");
        assert!(!headers.contains_key(&SESSION));
        assert_eq!(
            headers[&PASSED],
            "docker-claude-code/opus: unavailable (no Redis at all ? sorry)"
        );
    }

    #[test]
    fn long_reasons_are_cut() {
        let many: Vec<Passed> = (0..9).map(|_| passed(&"x".repeat(5000))).collect();
        let (_, value) = passed_header(&many).unwrap();
        assert_eq!(value.len(), LONGEST_VALUE);
        assert!(
            value
                .to_str()
                .unwrap()
                .contains("); docker-claude-code/opus: ")
        );
    }
}
