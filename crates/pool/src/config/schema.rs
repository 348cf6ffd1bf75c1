use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::RawConfig;

/// The JSON Schema (draft 2020-12) of the flat form of the configuration.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<RawConfig>()
        .to_value();
    allow_null(&mut schema);
    schema
}

/// A key without a default may be written as `null`, which is not set.
fn allow_null(section: &mut Value) {
    if section["additionalProperties"].is_object() {
        allow_null(&mut section["additionalProperties"]);
    }
    let Some(properties) = section.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for property in properties.values_mut() {
        allow_null(property);
        if property.get("default").is_none() && property["type"].is_string() {
            property["type"] = json!([property["type"].take(), "null"]);
        }
    }
}

/// What the schema says about which keys there are. The one source of known keys: files,
/// environment variables and flags are all held against it.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Fixed keys.
    Section(BTreeMap<String, Shape>),
    /// Keys of the person's choice.
    Map(Box<Shape>),
    List(Box<Shape>),
    Leaf(Leaf),
}

/// What a value without keys may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// Text is welcome, so `12345` is kept as it was written.
    pub(crate) text: bool,
    /// A truth value is welcome.
    pub(crate) truth: bool,
}

impl Shape {
    /// The shape of the whole configuration.
    pub(crate) fn root() -> &'static Shape {
        static ROOT: LazyLock<Shape> = LazyLock::new(|| Shape::of(&json_schema()));
        &ROOT
    }

    fn of(schema: &Value) -> Self {
        if let Some(properties) = schema["properties"].as_object() {
            return Self::Section(
                properties
                    .iter()
                    .map(|(key, schema)| (key.clone(), Self::of(schema)))
                    .collect(),
            );
        }
        if schema["additionalProperties"].is_object() {
            return Self::Map(Box::new(Self::of(&schema["additionalProperties"])));
        }
        if schema["items"].is_object() {
            return Self::List(Box::new(Self::of(&schema["items"])));
        }
        let allows = |kind: &str| match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|k| k == kind),
            single => single == kind,
        };
        Self::Leaf(Leaf {
            text: allows("string"),
            truth: allows("boolean"),
        })
    }

    /// Calls `visit` with the keys of every leaf and list, `*` standing for a free key.
    pub(crate) fn each_leaf<'a>(
        &'a self,
        keys: &mut Vec<&'a str>,
        visit: &mut impl FnMut(&[&'a str]),
    ) {
        match self {
            Shape::Section(sections) => {
                for (key, shape) in sections {
                    keys.push(key);
                    shape.each_leaf(keys, visit);
                    keys.pop();
                }
            }
            Shape::Map(inner) => {
                keys.push("*");
                inner.each_leaf(keys, visit);
                keys.pop();
            }
            Shape::List(_) | Shape::Leaf(_) => visit(keys),
        }
    }
}

/// Every key path of the configuration, such as `pool.minWarm` and `agents.*.model`.
#[must_use]
pub fn key_paths() -> Vec<String> {
    let mut paths = Vec::new();
    Shape::root().each_leaf(&mut Vec::new(), &mut |keys| paths.push(keys.join(".")));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_come_from_the_schema() {
        let Shape::Section(root) = Shape::root() else {
            panic!("the root is a section")
        };
        let Shape::Section(http) = &root["http"] else {
            panic!("http is a section")
        };
        assert!(matches!(
            http["token"],
            Shape::Leaf(Leaf {
                text: true,
                truth: false
            })
        ));
        assert!(matches!(
            root["enabled"],
            Shape::Leaf(Leaf {
                text: false,
                truth: true
            })
        ));
        let Shape::Map(agent) = &root["agents"] else {
            panic!("agents is a map")
        };
        assert!(matches!(**agent, Shape::Section(_)));
        let Shape::Section(model) = &root["model"] else {
            panic!("model is a section")
        };
        let Shape::List(item) = &model["fallbacks"] else {
            panic!("fallbacks is a list")
        };
        assert!(matches!(
            **item,
            Shape::Leaf(Leaf {
                text: true,
                truth: false
            })
        ));
    }

    #[test]
    fn the_schema_names_defaults_and_descriptions() {
        let schema = json_schema();
        let memory = &schema["properties"]["resources"]["properties"]["memory"];
        assert_eq!(memory["default"], "4g");
        assert!(
            memory["description"]
                .as_str()
                .is_some_and(|d| d.contains("Memory limit"))
        );
        assert_eq!(schema["properties"]["pool"]["additionalProperties"], false);
        let turn = &schema["properties"]["timeouts"]["properties"]["turnMs"];
        assert_eq!(turn["type"], json!(["integer", "null"]));
    }
}
