use std::borrow::Cow;
use std::marker::PhantomData;

use figment::value::{Empty, Num, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value as it was written, meant to become a `T`, or nothing.
///
/// Taking it in never fails, whatever was written, so that one wrong value does not hide the
/// others: the check happens in `validate.rs`, which knows the path and collects.
pub(crate) struct Given<T> {
    value: Value,
    meant: PhantomData<fn() -> T>,
}

/// What a leaf of the configuration may be made from.
pub(crate) trait FromValue: Sized {
    /// `Err` says what is wrong in words that follow the key: "is 0, and must be at least 1".
    fn from_value(value: &Value) -> Result<Self, Complaint>;
}

/// A problem that does not know its place yet.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) mend: String,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            mend: mend.into(),
        }
    }

    /// "is the text "abc", not a whole number". Shows the value, so not for secrets.
    pub(crate) fn not(value: &Value, wanted: &str, mend: impl Into<String>) -> Self {
        Self::new(format!("is {}, not {wanted}", shown(value)), mend)
    }

    /// As `not`, naming only the kind of value.
    pub(crate) fn not_kind(value: &Value, wanted: &str, mend: impl Into<String>) -> Self {
        Self::new(format!("is {}, not {wanted}", kind(value)), mend)
    }
}

impl<T> Given<T> {
    /// A built-in default.
    pub(crate) fn of(value: impl Into<Value>) -> Self {
        Self {
            value: value.into(),
            meant: PhantomData,
        }
    }

    /// Not given: the default of every optional key.
    pub(crate) fn unset() -> Self {
        Self::of(Value::from(Empty::None))
    }

    pub(crate) fn is_unset(&self) -> bool {
        matches!(self.value, Value::Empty(..))
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }
}

impl<T> Serialize for Given<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Value as Deserialize>::deserialize(deserializer).map(Self::of)
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// How a value is shown in an error: short, and told apart from look-alikes.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("the text {}", quoted(text)),
        Value::Char(_, c) => format!("the text {}", quoted(&c.to_string())),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match float(number) {
            Some(float) => float.to_string(),
            None => whole(value).map_or_else(|| "a number".to_owned(), |n| n.to_string()),
        },
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => kind(value).to_owned(),
    }
}

/// Text in quotes, escaped, cut after 40 characters.
pub(crate) fn quoted(text: &str) -> String {
    let head: String = text.chars().take(40).collect();
    if head.len() < text.len() {
        format!("{head:?}…")
    } else {
        format!("{head:?}")
    }
}

/// The kind of a value in a person's words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "a truth value",
        Value::Num(..) => "a number",
        Value::Empty(..) => "empty",
        Value::Dict(..) => "a section",
        Value::Array(..) => "a list",
    }
}

/// The text of a value that is text.
pub(crate) fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// The whole number that a value is.
pub(crate) fn whole(value: &Value) -> Option<i128> {
    let Value::Num(_, number) = value else {
        return None;
    };
    match *number {
        Num::U8(n) => Some(n.into()),
        Num::U16(n) => Some(n.into()),
        Num::U32(n) => Some(n.into()),
        Num::U64(n) => Some(n.into()),
        Num::U128(n) => i128::try_from(n).ok(),
        Num::USize(n) => i128::try_from(n).ok(),
        Num::I8(n) => Some(n.into()),
        Num::I16(n) => Some(n.into()),
        Num::I32(n) => Some(n.into()),
        Num::I64(n) => Some(n.into()),
        Num::I128(n) => Some(n),
        Num::ISize(n) => i128::try_from(n).ok(),
        Num::F32(_) | Num::F64(_) => None,
    }
}

/// The number that a value is, whole or not.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let Value::Num(_, number) = value else {
        return None;
    };
    #[allow(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
    float(number).or_else(|| whole(value).map(|n| n as f64))
}

fn float(number: &Num) -> Option<f64> {
    match *number {
        Num::F32(n) => Some(n.into()),
        Num::F64(n) => Some(n),
        Num::U8(_)
        | Num::U16(_)
        | Num::U32(_)
        | Num::U64(_)
        | Num::U128(_)
        | Num::USize(_)
        | Num::I8(_)
        | Num::I16(_)
        | Num::I32(_)
        | Num::I64(_)
        | Num::I128(_)
        | Num::ISize(_) => None,
    }
}

/// Gives a leaf type its schema, inline so that every key's schema stands where the key does.
macro_rules! schema {
    ($type:ty, $($body:tt)*) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($($body)*)
            }
        }
    };
}
pub(crate) use schema;
