//! Bearer tokens of containers: minted here, kept only as a hash.

use std::fmt;

use ccpool_protocol::ContainerId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What the name of a person's token begins with.
const PERSON: &str = "p-";

/// A container's token: `<container>.<64 hex digits>`. The id in it says where its hash lies; it
/// proves nothing by itself.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A new one from the operating system's randomness.
    pub fn mint(container: &ContainerId) -> Self {
        let secret: [u8; 32] = rand::random();
        Self(SecretString::from(format!(
            "{container}.{}",
            hex::encode(secret)
        )))
    }

    /// A new one for a person, and the name by which it is found.
    pub(crate) fn for_person() -> (String, Self) {
        let (name, secret): ([u8; 6], [u8; 32]) = (rand::random(), rand::random());
        let name = format!("{PERSON}{}", hex::encode(name));
        let text = format!("{name}.{}", hex::encode(secret));
        (name, Self(SecretString::from(text)))
    }

    /// The text, for the one file that `claude` reads it from.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored.
    pub fn hash(&self) -> String {
        hash(self.expose())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// SHA-256 in hex: the token has 256 random bits, so nothing slower is needed.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Whether this is the token with that hash, in a time that does not tell how much of it is right.
pub(crate) fn matches(token: &str, expected: &str) -> bool {
    bool::from(hash(token).as_bytes().ct_eq(expected.as_bytes()))
}

/// The name of a person's token.
pub(crate) fn person(token: &str) -> Option<&str> {
    let (name, secret) = token.split_once('.')?;
    let is_name = name.len() == PERSON.len() + 12 && name.starts_with(PERSON);
    (is_name && name.is_ascii() && secret.len() == 64).then_some(name)
}

/// The container that a token claims to be from.
pub(crate) fn container_of(token: &str) -> Option<ContainerId> {
    let (container, secret) = token.split_once('.')?;
    if secret.len() != 64 {
        return None;
    }
    ContainerId::generated(container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_container_and_hides_itself() {
        let container = ContainerId::from_random(9);
        let token = Token::mint(&container);
        assert_eq!(container_of(token.expose()), Some(container));
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert!(matches(token.expose(), &token.hash()));
        assert!(!matches(token.expose(), ""));
        assert_eq!(container_of("c-1.short"), None);
        let report = token.expose().replace('.', ":report.");
        assert_eq!(container_of(&report), None);
        assert_eq!(container_of("nothing"), None);
    }
}
