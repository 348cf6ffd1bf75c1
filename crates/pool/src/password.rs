//! Passwords of Redis users: minted here, told once, kept only as a hash.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::token;

/// 64 hexadecimal digits.
#[derive(Clone)]
pub(crate) struct Password(SecretString);

impl Password {
    /// 256 bits of the operating system's randomness.
    pub(crate) fn mint() -> Self {
        Self(SecretString::from(hex::encode(rand::random::<[u8; 32]>())))
    }

    /// The text, for whoever has to log in with it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// SHA-256 in hex, which is what Redis compares with.
    pub(crate) fn hash(&self) -> String {
        token::hash(self.expose())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same_and_none_is_shown() {
        let (one, other) = (Password::mint(), Password::mint());
        assert_ne!(one.expose(), other.expose());
        assert_eq!((one.expose().len(), one.hash().len()), (64, 64));
        assert_eq!(format!("{one:?}"), "Password(***)");
    }
}
