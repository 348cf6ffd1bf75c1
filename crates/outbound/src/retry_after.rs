use std::time::{Duration, SystemTime};

/// What the header `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    // Discord's has a fraction at times.
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wishes_are_read_in_all_their_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (header, wanted) in [
            ("7", Some(7_000)),
            (" 0.5 ", Some(500)),
            ("Tue, 14 Nov 2023 22:13:30 GMT", Some(10_000)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("soon", None),
            ("", None),
        ] {
            let wanted = wanted.map(Duration::from_millis);
            assert_eq!(retry_after(header, now), wanted, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(text in ".{0,60}") {
            let _: Option<Duration> = retry_after(&text, SystemTime::now());
        }
    }
}
