use std::time::Duration;

use bytesize::ByteSize;
use figment::value::Value;

use super::given::{Complaint, FromValue, number, quoted, schema, text, whole};

/// A hundred years: no wait is longer, and adding it to a clock cannot overflow.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3_600_000;

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        value
            .to_bool()
            .filter(|_| matches!(value, Value::Bool(..)))
            .ok_or_else(|| Complaint::not(value, "a truth value", "write true or false"))
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u32, const MAX: u32 = { u32::MAX }>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> FromValue for Count<MIN, MAX> {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let mend = || match MAX {
            u32::MAX => format!("write a whole number from {MIN}"),
            max => format!("write a whole number from {MIN} to {max}"),
        };
        let count = whole(value).ok_or_else(|| Complaint::not(value, "a whole number", mend()))?;
        if count < i128::from(MIN) {
            let what = format!("is {count}, and must be at least {MIN}");
            return Err(Complaint::new(what, mend()));
        }
        u32::try_from(count)
            .ok()
            .filter(|n| *n <= MAX)
            .map(Self)
            .ok_or_else(|| {
                Complaint::new(
                    format!("is {count}, and must be at most {MAX}"),
                    format!("write a whole number from {MIN} to {MAX}"),
                )
            })
    }
}

impl<const MIN: u32, const MAX: u32> schemars::JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Count{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A time in whole milliseconds, at least `MIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis<const MIN: u64>(pub(crate) u64);

impl<const MIN: u64> From<Millis<MIN>> for Duration {
    fn from(millis: Millis<MIN>) -> Self {
        Duration::from_millis(millis.0)
    }
}

impl<const MIN: u64> FromValue for Millis<MIN> {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let Some(millis) = whole(value) else {
            let mend = match text(value).and_then(spoken_millis) {
                Some(millis) => format!("write {millis}"),
                None => "write milliseconds as a plain number, 300000 for five minutes".to_owned(),
            };
            return Err(Complaint::not(
                value,
                "a whole number of milliseconds",
                mend,
            ));
        };
        if millis < i128::from(MIN) {
            let what = format!("is {millis} milliseconds, and must be at least {MIN}");
            return Err(Complaint::new(
                what,
                format!("write a whole number from {MIN}"),
            ));
        }
        u64::try_from(millis)
            .ok()
            .filter(|n| *n <= LONGEST_MS)
            .map(Self)
            .ok_or_else(|| {
                Complaint::new(
                    format!("is {millis} milliseconds, more than a hundred years"),
                    format!("write a whole number up to {LONGEST_MS}"),
                )
            })
    }
}

impl<const MIN: u64> schemars::JsonSchema for Millis<MIN> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("MillisFrom{MIN}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": MIN, "maximum": LONGEST_MS })
    }
}

/// What someone who wrote `5 minutes` or `30s` must have meant, to say it in the mend.
fn spoken_millis(text: &str) -> Option<u64> {
    let (digits, unit) = split_number(text)?;
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "ms" | "msec" | "millis" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        _ => return None,
    };
    let millis = digits * scale;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (0.0..=LONGEST_MS as f64)
        .contains(&millis)
        .then_some(millis.round() as u64)
}

/// `1.5 GiB` → (1.5, "GiB"). No sign and no exponent.
fn split_number(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

/// An amount of memory in Docker's notation. All units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory(pub(crate) ByteSize);

/// Docker refuses to start a container with less.
const SMALLEST_MEMORY: u64 = 6 << 20;

impl FromValue for Memory {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write it as 4g, 512m, 1.5g, 4GiB or a number of bytes";
        let bytes = match (whole(value), text(value)) {
            (Some(bytes), _) => u64::try_from(bytes).ok(),
            (None, Some(text)) => docker_bytes(text),
            (None, None) => None,
        };
        let bytes = bytes
            .filter(|bytes| *bytes <= i64::MAX.unsigned_abs())
            .ok_or_else(|| Complaint::not(value, "an amount of memory", FORMS))?;
        if bytes < SMALLEST_MEMORY {
            let what = format!("is {bytes} bytes, less than the 6m that Docker asks for");
            return Err(Complaint::new(what, FORMS));
        }
        Ok(Self(ByteSize(bytes)))
    }
}

schema!(Memory, {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+(\.[0-9]+)? ?([bB]|[kKmMgGtT]([iI]?[bB])?)?$",
    "minimum": SMALLEST_MEMORY
});

fn docker_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    #[allow(clippy::cast_precision_loss, reason = "a power of two is exact")]
    let bytes = number * (1_u64 << shift) as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the range is checked; a part of a byte does not matter"
    )]
    (bytes.is_finite() && bytes < i64::MAX as f64).then_some(bytes as u64)
}

/// A share of processor time in Docker's unit, a billionth of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoCpus(u64);

impl NanoCpus {
    /// Billionths of a CPU, as Docker's `NanoCpus` takes it.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// In CPUs.
    #[must_use]
    pub fn cpus(self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "at most 1024 CPUs")]
        let nano = self.0 as f64;
        nano / 1e9
    }
}

impl FromValue for NanoCpus {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORMS: &str = "write a number of CPUs from 0.01 to 1024, such as 2 or 0.5";
        let cpus = number(value).ok_or_else(|| Complaint::not(value, "a number of CPUs", FORMS))?;
        if !(0.01..=1024.0).contains(&cpus) {
            return Err(Complaint::new(
                format!("is {cpus}, no usable number of CPUs"),
                FORMS,
            ));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked"
        )]
        Ok(Self((cpus * 1e9).round() as u64))
    }
}

schema!(NanoCpus, { "type": "number", "minimum": 0.01, "maximum": 1024 });

/// Text that must not be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl FromValue for Text {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        let text = text(value)
            .ok_or_else(|| Complaint::not_kind(value, "a text", "write one text in quotes"))?;
        if text.trim().is_empty() {
            return Err(Complaint::new(
                "is empty",
                "write a text, or leave the key out",
            ));
        }
        if text.contains('\0') {
            let what = format!("has a zero byte in {}", quoted(text));
            return Err(Complaint::new(what, "take it out"));
        }
        Ok(Self(text.to_owned()))
    }
}

schema!(Text, { "type": "string", "minLength": 1 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_all_of_dockers_forms() {
        for (form, bytes) in [
            (Value::from("4g"), 4 << 30),
            (Value::from("4GiB"), 4 << 30),
            (Value::from("4 GB"), 4 << 30),
            (Value::from("512m"), 512 << 20),
            (Value::from("1.5g"), 3 << 29),
            (Value::from("8192k"), 8 << 20),
            (Value::from("1t"), 1 << 40),
            (Value::from("1073741824"), 1 << 30),
            (Value::from(1_073_741_824_u64), 1 << 30),
        ] {
            assert_eq!(
                Memory::from_value(&form).expect("a form").0.as_u64(),
                bytes,
                "{form:?}"
            );
        }
    }

    #[test]
    fn memory_that_is_none() {
        for wrong in [
            "4gigs",
            "4 potatoes",
            "",
            "g",
            "-4g",
            "4e9",
            "1..5g",
            "99999999t",
            "5m",
        ] {
            let complaint = Memory::from_value(&Value::from(wrong)).expect_err(wrong);
            assert!(
                complaint.mend.contains("4g, 512m, 1.5g, 4GiB"),
                "{complaint:?}"
            );
        }
    }

    #[test]
    fn a_spoken_time_is_said_in_milliseconds() {
        for (spoken, millis) in [
            ("5 minutes", "300000"),
            ("30s", "30000"),
            ("1.5h", "5400000"),
            ("20", "20"),
        ] {
            let complaint = Millis::<1>::from_value(&Value::from(spoken)).expect_err(spoken);
            assert_eq!(complaint.mend, format!("write {millis}"));
        }
    }

    #[test]
    fn cpus_become_billionths() {
        let cpus = |value: Value| NanoCpus::from_value(&value);
        assert_eq!(cpus(Value::from(2)).expect("cpus").get(), 2_000_000_000);
        assert_eq!(cpus(Value::from(0.5)).expect("cpus").get(), 500_000_000);
        for wrong in [
            Value::from(0),
            Value::from(-1),
            Value::from(f64::NAN),
            Value::from("two"),
        ] {
            assert!(cpus(wrong.clone()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn counts_keep_their_limits() {
        type OneToTen = Count<1, 10>;
        assert_eq!(
            OneToTen::from_value(&Value::from(10)).expect("in range").0,
            10
        );
        for wrong in [0, -1, 11, i64::MAX] {
            let complaint = OneToTen::from_value(&Value::from(wrong)).expect_err("out of range");
            assert_eq!(complaint.mend, "write a whole number from 1 to 10");
        }
    }
}
