use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::given::{kind, number, whole};
use super::key_path::KeyPath;
use super::nearest::nearest;
use super::problem::{Origin, Problem};
use super::schema::{Shape, key_paths};

/// One source's values, held against the known keys: what is unknown or of the wrong structure
/// has become a problem and is gone from the values.
#[derive(Debug)]
pub(crate) struct Layer {
    values: Dict,
    pub(crate) origins: BTreeMap<KeyPath, Origin>,
    pub(crate) problems: Vec<Problem>,
}

/// What a source knows about its values.
pub(crate) trait Provenance {
    /// Where the value at `path` came from.
    fn origin(&self, path: &KeyPath) -> Origin;

    /// What was written there letter by letter, if the value was read as something else.
    fn plain(&self, path: &KeyPath) -> Option<&str>;
}

impl Layer {
    pub(crate) fn sift(values: Dict, provenance: &dyn Provenance) -> Self {
        let mut sieve = Sieve {
            provenance,
            origins: BTreeMap::new(),
            problems: Vec::new(),
        };
        let values = match sieve.value(&KeyPath::ROOT, Value::from(values), Shape::root()) {
            Some(Value::Dict(_, values)) => values,
            Some(_) | None => Dict::new(),
        };
        Self {
            values,
            origins: sieve.origins,
            problems: sieve.problems,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("ccpool configuration")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

struct Sieve<'a> {
    provenance: &'a dyn Provenance,
    origins: BTreeMap<KeyPath, Origin>,
    problems: Vec<Problem>,
}

impl Sieve<'_> {
    fn value(&mut self, path: &KeyPath, value: Value, shape: &Shape) -> Option<Value> {
        // `key:` with nothing behind it leaves the key as it is.
        if matches!(value, Value::Empty(..)) {
            return None;
        }
        if !path.is_root() {
            self.origins
                .insert(path.clone(), self.provenance.origin(path));
        }
        match (shape, value) {
            (Shape::Section(known), Value::Dict(tag, values)) => {
                let mut kept = Dict::new();
                for (key, value) in values {
                    let at = path.key(&key);
                    match known.get(&key) {
                        Some(shape) => {
                            if let Some(value) = self.value(&at, value, shape) {
                                kept.insert(key, value);
                            }
                        }
                        None => self.unknown(path, &key, known),
                    }
                }
                Some(Value::Dict(tag, kept))
            }
            (Shape::Map(shape), Value::Dict(tag, values)) => {
                let mut kept = Dict::new();
                for (key, value) in values {
                    if matches!((&value, &**shape), (Value::Empty(..), Shape::Leaf(_))) {
                        // Someone who wrote `NAME=value` as a key wrote a value, maybe a secret.
                        let name = key.split('=').next().unwrap_or_default();
                        let at = path.key(name);
                        let mend = "write NAME: value, and \"\" for an empty value";
                        self.complain(&at, format!("`{at}` has no value"), mend.to_owned());
                    } else if let Some(value) = self.value(&path.key(&key), value, shape) {
                        kept.insert(key, value);
                    }
                }
                Some(Value::Dict(tag, kept))
            }
            (Shape::List(shape), Value::Array(tag, items)) => {
                let mut kept = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    let at = path.index(index);
                    if matches!(item, Value::Empty(..)) {
                        self.complain(&at, format!("`{at}` is empty"), "take it out".to_owned());
                    } else if let Some(item) = self.value(&at, item, shape) {
                        kept.push(item);
                    }
                }
                Some(Value::Array(tag, kept))
            }
            (Shape::Leaf(leaf), Value::Dict(..) | Value::Array(..)) if !leaf.text => {
                let mend = "write one value".to_owned();
                self.complain(path, format!("`{path}` is more than one value"), mend);
                None
            }
            (Shape::Leaf(leaf), value) => Some(if leaf.text {
                self.text(path, value)
            } else {
                value
            }),
            (Shape::Section(_) | Shape::Map(_), value) => {
                let what = format!("`{path}` is {}, not a section", kind(&value));
                self.complain(path, what, "write its keys indented below it".to_owned());
                None
            }
            (Shape::List(_), value) => {
                let what = format!("`{path}` is {}, not a list", kind(&value));
                self.complain(
                    path,
                    what,
                    "write [one, two], or one item per line after `- `".into(),
                );
                None
            }
        }
    }

    /// Keeps `12345`, `2.10` and `off` as they were written where a text is wanted.
    fn text(&self, path: &KeyPath, value: Value) -> Value {
        let written = match &value {
            Value::Bool(_, truth) => truth.to_string(),
            Value::Num(..) => match (whole(&value), number(&value)) {
                (Some(whole), _) => whole.to_string(),
                (None, Some(number)) => number.to_string(),
                (None, None) => return value,
            },
            Value::String(..)
            | Value::Char(..)
            | Value::Empty(..)
            | Value::Dict(..)
            | Value::Array(..) => return value,
        };
        Value::from(self.provenance.plain(path).map_or(written, str::to_owned))
    }

    fn unknown(&mut self, section: &KeyPath, key: &str, known: &BTreeMap<String, Shape>) {
        let path = section.key(key);
        let mend = match nearest(key, known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => match elsewhere(key) {
                Some(place) => format!("did you mean `{place}`?"),
                None => {
                    let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                    format!("the keys here are {}", keys.join(", "))
                }
            },
        };
        self.complain(&path, format!("unknown key `{path}`"), mend);
    }

    fn complain(&mut self, path: &KeyPath, what: String, mend: String) {
        let source = self.provenance.origin(path);
        self.problems.push(Problem {
            path: path.clone(),
            source,
            what,
            mend,
        });
    }
}

/// A key that exists, in another section.
fn elsewhere(key: &str) -> Option<String> {
    let mut places = key_paths().into_iter().filter(|path| {
        path.rsplit('.')
            .next()
            .is_some_and(|last| last.eq_ignore_ascii_case(key))
            && !path.contains('*')
    });
    // Two places are no help, they are a guess.
    places.next().filter(|_| places.next().is_none())
}
