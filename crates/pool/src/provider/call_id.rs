//! Names of calls, as they survive their way through clients.

use sha2::{Digest, Sha256};

/// Clients cut longer ones.
const LONGEST: usize = 40;
/// So much of a longer one is a hash of all of it.
const HASHED: usize = 20;

/// A call's id in the one form that every client gives back as it was: letters and digits, at most
/// 40. Some leave out everything else, some cut what is longer.
///
/// Ids that are the same in this form name the same call. What has the form already stays as it is.
pub fn plain_call_id(id: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric();
    let plain: String = id.chars().filter(is_plain).collect();
    if plain.len() <= LONGEST {
        return plain;
    }
    let hash = hex::encode(Sha256::digest(&plain));
    format!("{}{}", &plain[..LONGEST - HASHED], &hash[..HASHED])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_survive() {
        let plain = plain_call_id("toolu_01AbCdEfGhIjKlMnOpQrStUv");
        assert_eq!(plain, "toolu01AbCdEfGhIjKlMnOpQrStUv");
        assert_eq!(plain_call_id(&plain), plain);
        assert_eq!(plain_call_id("call-ä_:1"), "call1");
        assert_eq!(plain_call_id("_"), "");
    }

    #[test]
    fn long_ones_are_cut_and_differ_all_the_same() {
        let long = |end: &str| format!("call_{}_{end}", "x".repeat(60));
        let (one, other) = (plain_call_id(&long("1")), plain_call_id(&long("2")));
        assert_eq!((one.len(), other.len()), (40, 40));
        assert_ne!(one, other);
        assert!(one.starts_with("callxxxx"), "{one}");
        assert_eq!(plain_call_id(&one), one);
        let fits = "a".repeat(40);
        assert_eq!(plain_call_id(&fits), fits);
    }
}
