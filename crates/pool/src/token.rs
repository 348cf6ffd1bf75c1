//! Bearer tokens of containers, and of people who act as a session: minted here, kept only as a hash.

use std::fmt;

use ccpool_protocol::ContainerId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What the name of a person's token begins with.
const PERSON: &str = "p-";

/// A container's token: `<container>.<64 hex digits>`; a person's has a name of its own before that.
/// What stands before the digits says where its hash lies; it proves nothing by itself.
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

    /// A new one for a person who acts as the session on this container, and the name by which it is
    /// found.
    pub(crate) fn for_person(container: &ContainerId) -> (String, Self) {
        let (name, secret): ([u8; 6], [u8; 32]) = (rand::random(), rand::random());
        let name = format!("{PERSON}{}", hex::encode(name));
        let text = format!("{name}.{container}.{}", hex::encode(secret));
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

/// What a token says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// The name of a person's token; none for a container's own.
    pub(crate) person: Option<&'a str>,
    /// The container that it is from, or whose session it stands for.
    pub(crate) container: ContainerId,
}

/// What a token says of itself. None: it is not made like one.
pub(crate) fn named(token: &str) -> Option<Named<'_>> {
    let (names, secret) = token.rsplit_once('.')?;
    if secret.len() != 64 {
        return None;
    }
    let (person, container) = match names.split_once('.') {
        Some((person, container)) if is_person(person) => (Some(person), container),
        Some(_) => return None,
        None => (None, names),
    };
    let container = ContainerId::generated(container)?;
    Some(Named { person, container })
}

fn is_person(name: &str) -> bool {
    let digits = name.strip_prefix(PERSON).unwrap_or_default();
    digits.len() == 12 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_container_and_hides_itself() {
        let container = ContainerId::from_random(9);
        let token = Token::mint(&container);
        let its_own = Named {
            person: None,
            container,
        };
        assert_eq!(named(token.expose()), Some(its_own));
        assert_eq!(format!("{token:?}"), "Token(***)");
        assert!(matches(token.expose(), &token.hash()));
        assert!(!matches(token.expose(), ""));
    }

    #[test]
    fn a_persons_token_has_a_name_too() {
        let container = ContainerId::from_random(9);
        let (name, token) = Token::for_person(&container);
        let persons = Named {
            person: Some(&name),
            container,
        };
        assert_eq!(named(token.expose()), Some(persons));
    }

    #[test]
    fn what_is_not_made_like_a_token_names_nobody() {
        let (container, secret) = (ContainerId::from_random(9), "0".repeat(64));
        for wrong in [
            "nothing".to_owned(),
            format!("{container}.short"),
            format!("{container}:report.{secret}"),
            format!("p-0123456789ab.{secret}"),
            format!("p-0123456789a*.{container}.{secret}"),
            format!("{container}.{container}.{secret}"),
            format!("p-0123456789ab.{container}.{container}.{secret}"),
        ] {
            assert_eq!(named(&wrong), None, "{wrong}");
        }
    }
}
