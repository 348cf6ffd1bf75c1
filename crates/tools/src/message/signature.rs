//! What shows a receiver that a message comes from this gateway.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The id of the message: the same when it is sent again.
pub(super) const ID: &str = "ccpool-id";
/// When this attempt was signed, in seconds since 1970.
pub(super) const TIMESTAMP: &str = "ccpool-timestamp";
/// `v1=` and HMAC-SHA256 in hexadecimal of the timestamp, a dot and the body.
pub(super) const SIGNATURE: &str = "ccpool-signature";

/// The value of [`SIGNATURE`].
pub(super) fn sign(secret: &str, timestamp: u64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_other_programs_compute() {
        // printf '1700000000.{"text":"hello"}' | openssl dgst -sha256 -hmac 'not a real secret'
        assert_eq!(
            sign("not a real secret", 1_700_000_000, br#"{"text":"hello"}"#),
            "v1=bd3b082e1782c8cce05bf8dd40d8e15ddaf2c13f9c010cbaa911c1f89044c088"
        );
    }

    #[test]
    fn it_depends_on_secret_time_and_body() {
        let all = [
            sign("a", 1, b"x"),
            sign("b", 1, b"x"),
            sign("a", 2, b"x"),
            sign("a", 1, b"y"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{all:?}");
        }
    }
}
