use figment::value::Value;

use super::environment::{Named, shape_at, typed, wrapped};
use super::layer::Layer;
use super::problem::Origin;

/// Values from the command line. They win over everything else; a later one over an earlier.
#[derive(Clone, Default)]
pub struct Overrides {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    keys: Vec<String>,
    flag: String,
    value: Value,
}

impl Overrides {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the key at `path`, such as `pool.minWarm`, to a value whose type is known. `flag`
    /// is what errors call the source, such as `--min-warm`.
    #[must_use]
    pub fn set(mut self, flag: &str, path: &str, value: impl Into<Value>) -> Self {
        let keys = path.split('.').map(str::to_owned).collect();
        self.entries.push(Entry {
            keys,
            flag: flag.to_owned(),
            value: value.into(),
        });
        self
    }

    /// Sets the key at `path` from a text, read as an environment variable's would be: a number
    /// where a number belongs, a list from `a,b`, and text left alone.
    #[must_use]
    pub fn set_text(self, flag: &str, path: &str, text: &str) -> Self {
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        let value = shape_at(&keys).map_or_else(|| Value::from(text), |shape| typed(text, shape));
        self.set(flag, path, value)
    }

    pub(crate) fn layers(&self) -> impl Iterator<Item = Layer> {
        self.entries.iter().map(|entry| {
            let source = Named(Origin::Flag {
                name: entry.flag.clone(),
            });
            Layer::sift(wrapped(&entry.keys, entry.value.clone()), &source)
        })
    }
}

impl std::fmt::Debug for Overrides {
    /// Names flags and keys; values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.entries.iter().map(|e| (&e.flag, e.keys.join("."))))
            .finish()
    }
}
