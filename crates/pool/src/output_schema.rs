//! The form that an answer is wanted in.

use std::collections::HashSet;

use jsonschema::draft7;
use serde::Serialize;
use serde_json::{Map, Value};

/// The most bytes of JSON that a schema may have.
const LARGEST: usize = 256 << 10;

/// In letters.
const LONGEST_REASON: usize = 300;

/// What says more of a value, and what 2.1.329 does not know: with one of these it would leave the whole
/// schema out, without a word.
const BEYOND: [&str; 12] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "dependentRequired",
    "dependentSchemas",
    "maxContains",
    "minContains",
    "prefixItems",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// What it knows. Anything else says nothing of a value, and is left out.
const KNOWN: [&str; 46] = [
    "$comment",
    "$defs",
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "dependencies",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Keywords whose value is a schema, or a list of them.
const SCHEMAS: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "propertyNames",
    "then",
];

/// Keywords whose value has a schema under each name.
const NAMED: [&str; 5] = [
    "$defs",
    "definitions",
    "dependencies",
    "patternProperties",
    "properties",
];

/// A JSON Schema of an object, which is what a session answers with instead of words.
///
/// The CLI gives its model a tool for the answer (`StructuredOutput`), holds what comes against the schema,
/// has it corrected up to five times, and reminds a model that answers in words; the turn ends with the
/// answer, which is the `structured_output` of its `completed`. It takes draft 7 of JSON Schema, and what
/// it does not know makes it leave out the schema without a word, so that is looked at here. All seen
/// with 2.1.329. Answers are not held against it here: what that costs has no bound, and the CLI does it
/// within those of its container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct OutputSchema(Map<String, Value>);

/// Why a schema cannot be used. The text says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputSchemaError {
    /// An answer is an object.
    #[error("is no JSON Schema of an object: its `type` must be `object`")]
    NoObject,
    /// It would be left out.
    #[error("uses `{0}`, which Claude Code does not know; say it with keywords of draft 7")]
    Beyond(String),
    /// It is no schema.
    #[error("is no JSON Schema (draft 7): at {0}")]
    Wrong(String),
    /// Too much of it.
    #[error("has {0} bytes; at most {LARGEST} are taken")]
    TooLarge(usize),
}

impl OutputSchema {
    /// A schema as its caller gives it. What is of another dialect and says nothing of values
    /// (`$schema`, `discriminator`, `example`, …) is left out.
    ///
    /// # Errors
    /// [`OutputSchemaError`].
    pub fn new(mut schema: Map<String, Value>) -> Result<Self, OutputSchemaError> {
        let size = Value::Object(schema.clone()).to_string().len();
        if size > LARGEST {
            return Err(OutputSchemaError::TooLarge(size));
        }
        tidy(&mut schema)?;
        let kind = schema
            .entry("type")
            .or_insert_with(|| Value::from("object"));
        if kind != "object" {
            return Err(OutputSchemaError::NoObject);
        }
        let whole = Value::Object(schema);
        let wrong = |error: jsonschema::ValidationError<'_>| {
            let at = match error.instance_path().to_string() {
                root if root.is_empty() => "/".to_owned(),
                at => at,
            };
            // It says what is wrong, which may be most of the schema.
            let why: String = error.to_string().chars().take(LONGEST_REASON).collect();
            OutputSchemaError::Wrong(format!("{at}: {why}"))
        };
        draft7::meta::validate(&whole).map_err(wrong)?;
        draft7::new(&whole).map_err(wrong)?;
        match whole {
            Value::Object(schema) => Ok(Self(schema)),
            _ => unreachable!("it was made of an object"),
        }
    }

    /// As the CLI takes it.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The same.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

/// Leaves out what the CLI does not know, here and in all schemas within.
fn tidy(schema: &mut Map<String, Value>) -> Result<(), OutputSchemaError> {
    if let Some(word) = BEYOND.iter().find(|word| schema.contains_key(**word)) {
        return Err(OutputSchemaError::Beyond((*word).to_owned()));
    }
    schema.retain(|word, _| KNOWN.contains(&word.as_str()));
    // Alone they say nothing, and the CLI takes them for a slip.
    if !schema.contains_key("then") && !schema.contains_key("else") {
        schema.remove("if");
    }
    if !schema.contains_key("if") {
        schema.remove("then");
        schema.remove("else");
    }
    // The CLI leaves out a schema that says a value twice.
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.to_string()));
    }
    for (word, value) in schema {
        let within: Vec<&mut Value> = match value {
            Value::Object(named) if NAMED.contains(&word.as_str()) => named.values_mut().collect(),
            Value::Array(all) if SCHEMAS.contains(&word.as_str()) => all.iter_mut().collect(),
            one if SCHEMAS.contains(&word.as_str()) => vec![one],
            _ => continue,
        };
        for schema in within {
            if let Value::Object(schema) = schema {
                tidy(schema)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(schema: Value) -> Result<Value, OutputSchemaError> {
        let Value::Object(schema) = schema else {
            panic!("{schema} is no object");
        };
        OutputSchema::new(schema).map(|schema| json!(schema))
    }

    #[test]
    fn what_the_cli_does_not_know_and_says_nothing_goes() {
        let given = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "title": "Town",
            "discriminator": {"propertyName": "example"},
            "properties": {
                // Names, not keywords.
                "example": {"type": "string", "example": "Bonn", "x-order": 1},
                "prefixItems": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null", "nullable": true}]},
            },
            "$defs": {"A": {"type": "array", "items": [{"id": "y"}, true]}},
            "if": {}, "additionalProperties": false, "required": ["example"],
            "patternProperties": {"^n": {"enum": [1, "1", 1, null]}},
        });
        let kept = json!({
            "type": "object", "title": "Town",
            "properties": {
                "example": {"type": "string"},
                "prefixItems": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
            },
            "$defs": {"A": {"type": "array", "items": [{}, true]}},
            "additionalProperties": false, "required": ["example"],
            "patternProperties": {"^n": {"enum": [1, "1", null]}},
        });
        assert_eq!(new(given), Ok(kept.clone()));
        assert_eq!(new(kept.clone()), Ok(kept), "once more changes nothing");
        assert_eq!(new(json!({})), Ok(json!({"type": "object"})));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let nested = |schema: Value| json!({"properties": {"a": {"not": schema}}});
        for (schema, said) in [
            (json!({"type": "array"}), "must be `object`"),
            (json!({"type": ["object", "null"]}), "must be `object`"),
            (nested(json!({"prefixItems": []})), "`prefixItems`"),
            (nested(json!({"$dynamicRef": "#a"})), "`$dynamicRef`"),
            (nested(json!({"type": "strin"})), "draft 7"),
            (nested(json!({"minLength": -1})), "draft 7"),
            (nested(json!({"exclusiveMinimum": true})), "draft 7"),
            (nested(json!({"pattern": "("})), "draft 7"),
            (nested(json!({"$ref": "#/$defs/Nowhere"})), "draft 7"),
            (nested(json!({"$ref": "https://example.org/a"})), "draft 7"),
            (
                json!({"properties": 1}),
                "draft 7): at /properties: 1 is not",
            ),
            (
                nested(json!({"type": "x".repeat(9999)})),
                "at /properties/a/not/type: \"xxx",
            ),
            (json!({"description": "x".repeat(LARGEST)}), "at most"),
        ] {
            let error = new(schema.clone()).expect_err("it is refused");
            let error = error.to_string();
            assert!(error.contains(said), "{schema}: {error}");
            assert!(error.len() < 500, "{error}");
        }
    }
}
