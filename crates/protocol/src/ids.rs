//! The names of things: sessions, turns, agents, containers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing, or more than 128 characters.
    #[error("{noun} must have 1 to 128 characters, this one has {length}")]
    Length { noun: &'static str, length: usize },
    /// A character outside the allowed set.
    #[error("{noun} may hold letters, digits and . _ : @ -, not {character:?}")]
    Character { noun: &'static str, character: char },
    /// `pool:` is where the pool keeps its own keys.
    #[error("a session id may not begin with `pool:`, which names the pool's own keys")]
    Reserved,
}

fn check(noun: &'static str, text: &str) -> Result<(), IdError> {
    let length = text.chars().count();
    if !(1..=128).contains(&length) {
        return Err(IdError::Length { noun, length });
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._:@-".contains(*c)))
    {
        Some(character) => Err(IdError::Character { noun, character }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $extra:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes 1 to 128 characters of `[A-Za-z0-9._:@-]`.
            ///
            /// # Errors
            /// [`IdError`] names the rule that was broken.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check($noun, &text)?;
                let extra: fn(&str) -> Result<(), IdError> = $extra;
                extra(&text)?;
                Ok(Self(text))
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A conversation, named by whoever claims it (`agent:main:explicit:t1`, say).
    SessionId, "a session id",
    |text| if text.starts_with("pool:") { Err(IdError::Reserved) } else { Ok(()) }
);
id!(
    /// One prompt and everything that answers it.
    TurnId, "a turn id", |_| Ok(())
);
id!(
    /// On whose behalf sessions are claimed; limits are counted by it.
    AgentId, "an agent id", |_| Ok(())
);
id!(
    /// A permission request, as the CLI names it.
    RequestId, "a request id", |_| Ok(())
);
id!(
    /// A container, or on the process runtime the wrapper standing in for one.
    ContainerId, "a container id", |_| Ok(())
);

impl ContainerId {
    /// Builds an id from 48 random bits, as `c-0123456789ab`.
    pub fn from_random(bits: u64) -> Self {
        Self(format!("c-{:012x}", bits & 0xffff_ffff_ffff))
    }

    /// The id in `text`, if it is one that [`Self::from_random`] makes. Other ids may look like the key
    /// of something else of a container's, so nothing from outside may name a container by one.
    pub fn generated(text: &str) -> Option<Self> {
        Self::is_generated(text).then(|| Self(text.to_owned()))
    }

    fn is_generated(text: &str) -> bool {
        text.strip_prefix("c-").is_some_and(|hex| {
            hex.len() == 12 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

impl Default for AgentId {
    /// Whoever does not say who it is, is `main`.
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl SessionId {
    /// The name in the form Docker allows (`[A-Za-z0-9_.-]`), without collisions.
    ///
    /// A name that Docker takes as it is stays as it is. Any other one begins with `_` and has
    /// `:`, `@` and `_` written as `_c`, `_a` and `__`. The two forms cannot meet, because names
    /// that begin with `_` take the second one too, and so do names shaped like a generated
    /// [`ContainerId`], which a warm container carries.
    ///
    /// ```
    /// use ccpool_protocol::SessionId;
    /// let name = |id: &str| SessionId::new(id).unwrap().docker_name();
    /// assert_eq!(name("my_session-1"), "my_session-1");
    /// assert_eq!(name("agent:main:t1"), "_agent_cmain_ct1");
    /// ```
    pub fn docker_name(&self) -> String {
        let id = &self.0;
        if !id.contains([':', '@']) && !id.starts_with('_') && !ContainerId::is_generated(id) {
            return id.clone();
        }
        let mut name = String::from("_");
        for c in id.chars() {
            match c {
                ':' => name.push_str("_c"),
                '@' => name.push_str("_a"),
                '_' => name.push_str("__"),
                other => name.push(other),
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_name_the_rule() {
        assert_eq!(SessionId::new("pool:x"), Err(IdError::Reserved));
        assert_eq!(
            SessionId::new("a b"),
            Err(IdError::Character {
                noun: "a session id",
                character: ' '
            })
        );
        assert!(matches!(
            SessionId::new(""),
            Err(IdError::Length { length: 0, .. })
        ));
        assert!(matches!(
            SessionId::new("x".repeat(129)),
            Err(IdError::Length { .. })
        ));
        assert!(SessionId::new("agent:main:explicit:t1").is_ok());
    }

    proptest! {
        #[test]
        fn docker_names_never_collide(ids in proptest::collection::vec("[a:@_c.-]{1,6}", 2..40)) {
            let mut seen: HashMap<String, String> = HashMap::new();
            for id in ids {
                let name = SessionId::new(id.clone()).unwrap().docker_name();
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)));
                let first = seen.entry(name).or_insert_with(|| id.clone());
                prop_assert_eq!(&*first, &id);
            }
        }
    }

    #[test]
    fn only_a_generated_id_names_a_container_from_outside() {
        let container = ContainerId::from_random(0xabc);
        let named = ContainerId::generated(container.as_str());
        assert_eq!(named.as_ref(), Some(&container));
        for other in [
            "c-000000000abc:report",
            "c-000000000ab",
            "c-000000000ABC",
            "",
        ] {
            assert_eq!(ContainerId::generated(other), None, "{other}");
        }
    }

    #[test]
    fn a_session_named_like_a_container_is_told_apart() {
        let container = ContainerId::from_random(0xabc);
        let session = SessionId::new(container.as_str()).unwrap();
        assert_ne!(session.docker_name(), container.as_str());
    }
}
