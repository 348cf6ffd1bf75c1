//! Values of a request body that know where they stand, so that a refusal can say it.
//!
//! `null` is as good as left out, and what nobody asks for is not looked at.

use serde_json::{Map, Value};

use super::error::ApiError;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Field {
    path: String,
    value: Value,
}

/// An object and its place.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Field {
    /// A whole body.
    pub(super) fn body(value: Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    /// What is wrong with it.
    pub(super) fn refuse(&self, message: impl std::fmt::Display) -> ApiError {
        refuse(&self.path, message)
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_string()
    }

    fn not(&self, wanted: &str) -> ApiError {
        let is = match &self.value {
            Value::Null => "missing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.refuse(format!("is {is}, and must be {wanted}"))
    }

    pub(super) fn text(self) -> Result<Option<String>, ApiError> {
        match self.value {
            Value::String(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            _ => Err(self.not("text")),
        }
    }

    pub(super) fn flag(self) -> Result<Option<bool>, ApiError> {
        match self.value {
            Value::Bool(flag) => Ok(Some(flag)),
            Value::Null => Ok(None),
            _ => Err(self.not("true or false")),
        }
    }

    /// A whole number from 0.
    pub(super) fn whole(self) -> Result<Option<u64>, ApiError> {
        if self.is_null() {
            return Ok(None);
        }
        let number = self.value.as_u64();
        let number = number.ok_or_else(|| self.not("a whole number from 0"))?;
        Ok(Some(number))
    }

    pub(super) fn list(self) -> Result<Option<Vec<Field>>, ApiError> {
        let Value::Array(items) = self.value else {
            if self.is_null() {
                return Ok(None);
            }
            return Err(self.not("a list"));
        };
        let place = |(at, value)| Field {
            path: format!("{}[{at}]", self.path),
            value,
        };
        Ok(Some(items.into_iter().enumerate().map(place).collect()))
    }

    pub(super) fn object(self) -> Result<Option<Fields>, ApiError> {
        match self.value {
            Value::Object(map) => Ok(Some(Fields {
                path: self.path,
                map,
            })),
            Value::Null => Ok(None),
            _ => Err(self.not("an object")),
        }
    }

    /// An object that must be there.
    pub(super) fn needed_object(self) -> Result<Fields, ApiError> {
        if self.is_null() {
            return Err(self.not("an object"));
        }
        let path = self.path.clone();
        self.object()?.ok_or_else(|| refuse(&path, "is missing"))
    }

    /// Text that must be there, and not be empty.
    pub(super) fn needed_text(self) -> Result<String, ApiError> {
        let path = self.path.clone();
        match self.text()? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(refuse(&path, "is empty")),
            None => Err(refuse(&path, "is missing, and must be text")),
        }
    }
}

impl Fields {
    /// What stands under a key; `null` when nothing does.
    pub(super) fn take(&mut self, key: &str) -> Field {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        let value = self.map.remove(key).unwrap_or_default();
        Field { path, value }
    }

    /// What is wrong with it.
    pub(super) fn refuse(&self, message: impl std::fmt::Display) -> ApiError {
        refuse(&self.path, message)
    }

    /// All of it.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.map
    }
}

fn refuse(path: &str, message: impl std::fmt::Display) -> ApiError {
    let subject = if path.is_empty() { "the body" } else { path };
    ApiError::invalid(path, format!("{subject} {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_name_the_place() {
        let body = json!({"messages": [{}, {"content": [{"text": 7}]}]});
        let mut body = Field::body(body).needed_object().unwrap();
        let mut messages = body.take("messages").list().unwrap().unwrap();
        let mut message = messages.remove(1).needed_object().unwrap();
        let mut parts = message.take("content").list().unwrap().unwrap();
        let mut part = parts.remove(0).needed_object().unwrap();
        let error = part.take("text").text().unwrap_err();
        assert_eq!(error.param(), Some("messages[1].content[0].text"));
        assert_eq!(
            error.message(),
            "messages[1].content[0].text is a number, and must be text"
        );
        assert_eq!(body.take("model").text().unwrap(), None);
    }

    #[test]
    fn a_body_that_is_no_object_has_no_place() {
        let error = Field::body(json!([])).needed_object().unwrap_err();
        assert_eq!(error.param(), None);
        assert_eq!(error.message(), "the body is a list, and must be an object");
    }

    #[test]
    fn numbers_are_whole() {
        let read = |value| Field::body(value).whole();
        assert_eq!(read(json!(3)).unwrap(), Some(3));
        assert_eq!(read(json!(null)).unwrap(), None);
        for wrong in [json!(-1), json!(1.5), json!("3")] {
            assert!(read(wrong).is_err());
        }
    }
}
