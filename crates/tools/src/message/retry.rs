//! When a message is sent again.

use std::time::Duration;

use serde_json::Value;

/// After the first failure; doubled after each one more.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No own wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// All waits of one message together: a model that waits for longer is better told.
const ALL_WAITS: Duration = Duration::from_secs(60);

/// The attempts that one message has left.
#[derive(Debug)]
pub(super) struct Retries {
    left: u32,
    failed: u32,
    waited: Duration,
}

impl Retries {
    /// So many attempts after the first one.
    pub(super) fn new(left: u32) -> Self {
        Self {
            left,
            failed: 0,
            waited: Duration::ZERO,
        }
    }

    /// How long to wait until the next attempt; `None` when there is none.
    ///
    /// `wished` is what the receiver asked for, which is never cut short; `dice` is from 0 to 1 and
    /// keeps senders from coming all at once.
    pub(super) fn next(&mut self, wished: Option<Duration>, dice: f64) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failed));
        let own = doubled
            .min(LONGEST_WAIT)
            .mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0);
        self.failed += 1;
        let wait = wished.map_or(own, |wished| wished.max(own));
        self.waited = self.waited.saturating_add(wait);
        (self.waited <= ALL_WAITS).then_some(wait)
    }
}

/// What the body of an answer asks for, in seconds: Telegram's `parameters.retry_after`
/// (<https://core.telegram.org/bots/api#responseparameters>), Discord's `retry_after`
/// (<https://docs.discord.com/developers/topics/rate-limits>).
pub(super) fn retry_after_in(body: &[u8]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let told = body
        .pointer("/parameters/retry_after")
        .or_else(|| body.get("retry_after"))?;
    seconds_of(told.as_f64()?)
}

fn seconds_of(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let mut retries = Retries::new(6);
        let waits: Vec<u128> = std::iter::from_fn(|| retries.next(None, 1.0))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    }

    #[test]
    fn a_receivers_wish_is_kept_or_there_is_no_attempt() {
        let mut retries = Retries::new(3);
        let ten = Some(Duration::from_secs(10));
        assert_eq!(retries.next(ten, 0.5), ten);
        assert_eq!(retries.next(Some(Duration::from_secs(51)), 0.5), None);
        assert_eq!(Retries::new(3).next(Some(Duration::MAX), 0.5), None);
        assert_eq!(Retries::new(0).next(None, 0.5), None);
    }

    #[test]
    fn wishes_are_read_in_all_their_forms() {
        for (body, wanted) in [
            (
                r#"{"ok":false,"error_code":429,"parameters":{"retry_after":5}}"#,
                Some(5_000),
            ),
            (
                r#"{"message":"limited","retry_after":0.25,"global":false}"#,
                Some(250),
            ),
            (r#"{"retry_after":"5"}"#, None),
            (r#"{"retry_after":-5}"#, None),
            ("[]", None),
            ("<html>", None),
        ] {
            let wanted = wanted.map(Duration::from_millis);
            assert_eq!(retry_after_in(body.as_bytes()), wanted, "{body}");
        }
    }

    proptest! {
        #[test]
        fn all_waits_together_are_bounded(
            retries in 0_u32..50,
            wishes in prop::collection::vec((prop::option::of(0_u64..100_000), 0.0..1.0), 50),
        ) {
            let mut left = Retries::new(retries);
            let (mut count, mut sum) = (0, Duration::ZERO);
            for (wished, dice) in wishes {
                let wished = wished.map(Duration::from_millis);
                let Some(wait) = left.next(wished, dice) else { break };
                prop_assert!(wait >= wished.unwrap_or_default());
                count += 1;
                sum += wait;
            }
            prop_assert!(count <= retries && sum <= ALL_WAITS);
        }

        #[test]
        fn no_body_is_too_odd(text in ".{0,60}") {
            let _: Option<Duration> = retry_after_in(text.as_bytes());
        }
    }
}
