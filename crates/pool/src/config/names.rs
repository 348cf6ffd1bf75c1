use std::fmt;
use std::str::FromStr;

use figment::value::Value;

use super::given::{Complaint, FromValue, quoted, schema, text};
use super::nearest::nearest;
use super::secret::Secret;
use super::units::Text;

/// What stands before the slash in names of models that answer in containers.
pub(crate) const IN_CONTAINERS: &str = "docker-claude-code";

/// What may stand there at all.
pub const PROVIDERS: [&str; 3] = [IN_CONTAINERS, "claude-cli", "anthropic"];

/// A model as `provider/model`, such as `docker-claude-code/opus`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelRef {
    provider: String,
    model: String,
}

impl ModelRef {
    /// What stands before the first slash.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What stands after it; may hold slashes itself.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// A text that is no `provider/model`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form provider/model")]
pub struct NotAModelRef;

impl FromStr for ModelRef {
    type Err = NotAModelRef;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match given.split_once('/') {
            Some((provider, model))
                if !provider.is_empty() && !model.is_empty() && given.chars().all(is_visible) =>
            {
                Ok(Self {
                    provider: provider.to_owned(),
                    model: model.to_owned(),
                })
            }
            Some(_) | None => Err(NotAModelRef),
        }
    }
}

impl FromValue for ModelRef {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let given: Self = text(value)
            .and_then(|given| given.parse().ok())
            .ok_or_else(|| {
                let mend = "write provider/model, such as docker-claude-code/opus";
                Complaint::not(value, "of the form provider/model", mend)
            })?;
        let provider = given.provider();
        if PROVIDERS.contains(&provider) {
            return Ok(given);
        }
        let what = format!("names the provider {}, which is none", quoted(provider));
        let mend = match nearest(provider, PROVIDERS) {
            Some(meant) => format!("did you mean `{meant}/{}`?", given.model()),
            None => format!("write one of {} before the slash", PROVIDERS.join(", ")),
        };
        Err(Complaint::new(what, mend))
    }
}

schema!(ModelRef, {
    "type": "string",
    "pattern": "^(docker-claude-code|claude-cli|anthropic)/\\S+$"
});

/// The name of a container image, such as `clawdbot/docker-cc:latest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef(String);

impl ImageRef {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromValue for ImageRef {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        // Docker judges the rest; this much keeps an option or a path from posing as a name.
        text(value)
            .filter(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .filter(|name| {
                name.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c))
            })
            .map(|name| Self(name.to_owned()))
            .ok_or_else(|| {
                let mend = "write name:tag, such as clawdbot/docker-cc:latest";
                Complaint::not(value, "the name of an image", mend)
            })
    }
}

schema!(ImageRef, { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$" });

/// A name, or the beginning of one, as Docker takes it for containers and networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DockerName(pub(crate) String);

impl FromValue for DockerName {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        text(value)
            .filter(|name| name.starts_with(|c: char| c.is_ascii_alphanumeric()))
            .filter(|name| {
                name.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
            })
            .filter(|name| name.len() <= 64)
            .map(|name| Self(name.to_owned()))
            .ok_or_else(|| {
                let mend = "begin with a letter or digit and use only letters, digits, _ . -";
                Complaint::not(value, "a name that Docker takes", mend)
            })
    }
}

schema!(DockerName, {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
    "maxLength": 64
});

/// The beginning of every Redis key of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPrefix(pub(crate) String);

impl FromValue for KeyPrefix {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        // Access rules of Redis are glob patterns; a prefix with `*` in it would open them.
        text(value)
            .filter(|prefix| !prefix.is_empty() && prefix.len() <= 128)
            .filter(|prefix| {
                prefix
                    .chars()
                    .all(|c| is_visible(c) && !"*?[]\\\"".contains(c))
            })
            .map(|prefix| Self(prefix.to_owned()))
            .ok_or_else(|| {
                let mend = "use 1 to 128 visible letters, none of them * ? [ ] \\ or a quote";
                Complaint::not(value, "a usable key prefix", mend)
            })
    }
}

schema!(KeyPrefix, {
    "type": "string",
    "pattern": r#"^[^\s*?\[\]\\"]+$"#,
    "maxLength": 128
});

/// A version of Claude Code, such as `2.1.329`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) String);

impl FromValue for Version {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        text(value)
            .filter(|version| {
                let core = version.split_once('-').map_or(*version, |(core, _)| core);
                let parts: Vec<&str> = core.split('.').collect();
                parts.len() == 3
                    && parts.iter().all(|p| p.parse::<u32>().is_ok())
                    && version
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
            })
            .map(|version| Self(version.to_owned()))
            .ok_or_else(|| {
                Complaint::not(value, "a version", "write three numbers, such as 2.1.329")
            })
    }
}

schema!(Version, { "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+(-[A-Za-z0-9.-]+)?$" });

/// A Linux capability, or `ALL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capability(pub(crate) String);

impl FromValue for Capability {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        text(value)
            .filter(|name| !name.is_empty())
            .filter(|name| name.chars().all(|c| c.is_ascii_alphabetic() || c == '_'))
            .map(|name| Self(name.to_ascii_uppercase()))
            .ok_or_else(|| {
                let mend = "write ALL or a name such as NET_RAW";
                Complaint::not(value, "a capability", mend)
            })
    }
}

schema!(Capability, { "type": "string", "pattern": "^[A-Za-z_]+$" });

/// A volume bind: `source:target` or `source:target:options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    source: String,
    target: String,
    options: Option<String>,
}

impl Bind {
    /// A path of the host, or the name of a volume.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The absolute path inside the container.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Docker's options, such as `ro`.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.target)?;
        match &self.options {
            Some(options) => write!(f, ":{options}"),
            None => Ok(()),
        }
    }
}

impl FromValue for Bind {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let parsed = text(value).and_then(|given| {
            let mut parts = given.splitn(3, ':').map(str::to_owned);
            let (source, target, options) = (parts.next()?, parts.next()?, parts.next());
            let is_usable = !source.is_empty()
                && target.starts_with('/')
                && options
                    .as_ref()
                    .is_none_or(|o| !o.is_empty() && !o.contains(':'));
            is_usable.then_some(Self {
                source,
                target,
                options,
            })
        });
        parsed.ok_or_else(|| {
            let mend = "write /on/the/host:/in/the/container, with :ro at the end if read-only";
            Complaint::not(value, "a volume bind", mend)
        })
    }
}

schema!(Bind, { "type": "string", "pattern": "^[^:]+:/[^:]*(:[^:]+)?$" });

/// The value of an environment variable. May be empty; may hold a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvValue(pub(crate) Secret);

impl FromValue for EnvValue {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let given = text(value)
            .ok_or_else(|| Complaint::not_kind(value, "a text", "write one text in quotes"))?;
        if given.contains('\0') {
            return Err(Complaint::new("has a zero byte in it", "take it out"));
        }
        Ok(Self(Secret::new(given)))
    }
}

schema!(EnvValue, { "type": ["string", "number", "boolean"] });

/// `None` if `name` can be the name of an environment variable. The complaint does not repeat
/// what follows a `=`, which is a value that slipped into the name.
pub(crate) fn env_name_complaint(name: &str) -> Option<Complaint> {
    if name.contains('=') {
        return Some(Complaint::new("has a = in its name", "write NAME: value"));
    }
    let is_usable = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (!is_usable).then(|| {
        let what = format!(
            "is named {}, which no environment variable can be",
            quoted(name)
        );
        Complaint::new(
            what,
            "use letters, digits and _, and do not begin with a digit",
        )
    })
}

/// A bearer token: visible ASCII, as an HTTP header carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) Secret);

impl FromValue for Token {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let mend = "write 1 to 512 visible ASCII letters without spaces";
        let given = text(value).ok_or_else(|| Complaint::not_kind(value, "a text", mend))?;
        let fits = (1..=512).contains(&given.len());
        if fits && given.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(Secret::new(given)))
        } else {
            Err(Complaint::new("cannot be sent as a bearer token", mend))
        }
    }
}

schema!(Token, { "type": "string", "pattern": "^[!-~]+$", "maxLength": 512 });

/// A path of this host. `~/` at the beginning is the home directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPath(pub(crate) String);

impl FromValue for HostPath {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        Text::from_value(value).map(|text| Self(text.0))
    }
}

schema!(HostPath, { "type": "string", "minLength": 1 });

fn is_visible(c: char) -> bool {
    !c.is_whitespace() && !c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_split_at_the_first_slash() {
        let model: ModelRef = "openrouter/anthropic/opus".parse().expect("a model");
        assert_eq!(
            (model.provider(), model.model()),
            ("openrouter", "anthropic/opus")
        );
        assert_eq!(model.to_string(), "openrouter/anthropic/opus");
        for wrong in ["opus", "/opus", "a/", "a /b", ""] {
            assert_eq!(wrong.parse::<ModelRef>(), Err(NotAModelRef), "{wrong}");
        }
    }

    #[test]
    fn binds_have_a_source_and_an_absolute_target() {
        let bind = Bind::from_value(&Value::from("/srv/a:/a:ro")).expect("a bind");
        assert_eq!(
            (bind.source(), bind.target(), bind.options()),
            ("/srv/a", "/a", Some("ro"))
        );
        assert_eq!(bind.to_string(), "/srv/a:/a:ro");
        for wrong in ["/srv/a", "/srv/a:a", ":/a", "/a:/b:", "/a:/b:ro:z"] {
            assert!(Bind::from_value(&Value::from(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_glob_is_no_key_prefix() {
        assert!(KeyPrefix::from_value(&Value::from("clawdbot:cc:")).is_ok());
        for wrong in ["", "a*", "a b", "[a]", "a\n"] {
            assert!(
                KeyPrefix::from_value(&Value::from(wrong)).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn tokens_are_not_repeated() {
        let complaint = Token::from_value(&Value::from("hunter2 ")).expect_err("a space");
        assert!(!format!("{complaint:?}").contains("hunter2"));
    }
}
