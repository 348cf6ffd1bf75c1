use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ccpool::config::{Config, Secret};
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::provider::NAME;

/// Where the Messages API is, unless something else is said.
const ADDRESS: &str = "https://api.anthropic.com";

/// How the Messages API is asked.
#[derive(Debug, Clone)]
pub struct AnthropicSettings {
    /// Where requests go: `…/v1/messages`.
    pub url: Url,
    /// What they are paid with. Without one nothing is asked.
    pub credential: Option<Credential>,
    /// The model for a conversation that names none, and others that it is known to serve.
    pub models: Vec<String>,
    /// The longest answer in tokens, where the caller names none.
    pub max_tokens: u32,
    /// After so long without an event an answer has stalled.
    pub stall: Duration,
    /// The longest answer in time, if there is a limit.
    pub longest: Option<Duration>,
}

/// What a request is paid with.
#[derive(Clone)]
pub enum Credential {
    /// `ANTHROPIC_API_KEY`.
    ApiKey(Secret),
    /// `ANTHROPIC_AUTH_TOKEN`.
    Token(Secret),
}

/// A base URL that cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the address of the Messages API is no http:// or https:// URL with a host; correct `{0}`")]
pub struct NotAnAddress(&'static str);

impl AnthropicSettings {
    /// What a configuration says. `environment` has the credential by its name, `ANTHROPIC_API_KEY`
    /// or `ANTHROPIC_AUTH_TOKEN`, and perhaps `ANTHROPIC_BASE_URL`.
    ///
    /// # Errors
    /// [`NotAnAddress`].
    pub fn of(
        config: &Config,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, NotAnAddress> {
        let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let secret = |name: &str| given(name).map(Secret::new);
        let api_key = secret("ANTHROPIC_API_KEY").map(Credential::ApiKey);
        let configured = config.anthropic.base_url.as_ref().map(|url| url.as_str());
        let (base, name) = match (configured, given("ANTHROPIC_BASE_URL")) {
            (Some(base), _) => (base, "anthropic.baseUrl"),
            (None, Some(base)) => (base.as_str(), "ANTHROPIC_BASE_URL"),
            (None, None) => (ADDRESS, "anthropic.baseUrl"),
        };
        let chain = [&config.model.primary]
            .into_iter()
            .chain(&config.model.fallbacks);
        let of_agents = config.agents.values().filter_map(|own| own.model.as_ref());
        let own = chain
            .chain(of_agents)
            .filter(|model| model.provider() == NAME);
        Ok(Self {
            url: endpoint(base).ok_or(NotAnAddress(name))?,
            credential: api_key.or_else(|| secret("ANTHROPIC_AUTH_TOKEN").map(Credential::Token)),
            models: own.map(|model| model.model().to_owned()).collect(),
            max_tokens: config.anthropic.max_tokens,
            stall: config.timeouts.stall,
            longest: config.timeouts.turn,
        })
    }
}

fn endpoint(base: &str) -> Option<Url> {
    let url = Url::parse(&format!("{}/v1/messages", base.trim_end_matches('/'))).ok()?;
    let is_plain = url.query().is_none() && url.fragment().is_none();
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_plain && is_web).then_some(url)
}

impl Credential {
    /// Adds itself to a request. False: it holds what no header can.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) -> bool {
        let (name, value) = match self {
            Self::ApiKey(key) => (
                HeaderName::from_static("x-api-key"),
                key.expose().to_owned(),
            ),
            Self::Token(token) => (AUTHORIZATION, format!("Bearer {}", token.expose())),
        };
        let Ok(mut value) = HeaderValue::from_str(&value) else {
            return false;
        };
        value.set_sensitive(true);
        headers.insert(name, value);
        true
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey(_) => "ApiKey(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(environment: &[(&str, &str)]) -> Result<AnthropicSettings, NotAnAddress> {
        let environment = environment.iter();
        let environment = environment.map(|(name, value)| ((*name).into(), (*value).into()));
        AnthropicSettings::of(&Config::default(), &environment.collect())
    }

    #[test]
    fn the_environment_says_where_and_with_what() {
        let none = settings(&[]).unwrap();
        assert_eq!(none.url.as_str(), "https://api.anthropic.com/v1/messages");
        assert!(none.credential.is_none());
        let token = settings(&[
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/proxy/"),
            ("ANTHROPIC_API_KEY", ""),
            ("ANTHROPIC_AUTH_TOKEN", "fake-token"),
        ])
        .unwrap();
        assert_eq!(token.url.as_str(), "http://127.0.0.1:9/proxy/v1/messages");
        let mut headers = HeaderMap::new();
        assert!(token.credential.as_ref().unwrap().add_to(&mut headers));
        assert_eq!(headers[AUTHORIZATION], "Bearer fake-token");
        assert!(!format!("{token:?} {headers:?}").contains("fake-token"));
        let key = settings(&[
            ("ANTHROPIC_API_KEY", "sk-ant-fake"),
            ("ANTHROPIC_AUTH_TOKEN", "fake-token"),
        ]);
        assert!(matches!(
            key.unwrap().credential,
            Some(Credential::ApiKey(_))
        ));
        for wrong in ["nowhere", "ftp://127.0.0.1", "http://127.0.0.1/?a=b"] {
            let error = settings(&[("ANTHROPIC_BASE_URL", wrong)]).expect_err(wrong);
            assert!(error.to_string().contains("`ANTHROPIC_BASE_URL`"));
        }
    }
}
