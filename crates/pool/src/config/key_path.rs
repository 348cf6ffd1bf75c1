use std::fmt;

use serde::{Serialize, Serializer};

/// Where a value stands in the configuration, as a person writes it:
/// `pool.minWarm`, `model.fallbacks[1]`, `agents."a.b".model`.
///
/// Paths are always those of the flat form; a file in Clawdbot's nested form is
/// reported with the same paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(String);

impl KeyPath {
    /// The whole document. Shown as `(file)`.
    pub const ROOT: KeyPath = KeyPath(String::new());

    /// A path written out in the code, such as `pool.minWarm`.
    #[must_use]
    pub fn of(dotted: &str) -> Self {
        Self(dotted.to_owned())
    }

    /// The path of `key` below this one. A key with a dot, a space or the like in
    /// it is quoted.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty()
            && !key.contains(['.', '[', ']', '"'])
            && !key.contains(|c: char| c.is_whitespace() || c.is_control());
        let key = if plain {
            key.to_owned()
        } else {
            format!("{key:?}")
        };
        if self.0.is_empty() {
            Self(key)
        } else {
            Self(format!("{}.{key}", self.0))
        }
    }

    /// The path of the item at `index`, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// `true` for the whole document.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// As text; empty for the whole document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path above, or `None` at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        // A quoted last key may itself hold dots, so its closing quote is honoured.
        let cut = match self.0.strip_suffix('"').and_then(opening_quote) {
            Some(quote) => quote.saturating_sub(1),
            None => self.0.rfind(['.', '[']).unwrap_or(0),
        };
        Some(Self(self.0[..cut].to_owned()))
    }

    /// This path seen from `base`, if it lies at or below it.
    #[must_use]
    pub fn below(&self, base: &KeyPath) -> Option<KeyPath> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&base.0)?;
        match rest.as_bytes().first() {
            None => Some(Self::ROOT),
            Some(b'.') => Some(Self(rest[1..].to_owned())),
            Some(_) => None,
        }
    }

    /// This path put below `base`.
    #[must_use]
    pub fn under(&self, base: &KeyPath) -> KeyPath {
        match (base.is_root(), self.is_root()) {
            (true, _) => self.clone(),
            (_, true) => base.clone(),
            (false, false) => Self(format!("{}.{}", base.0, self.0)),
        }
    }
}

fn opening_quote(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    (0..bytes.len()).rev().find(|&at| {
        let escapes = bytes[..at]
            .iter()
            .rev()
            .take_while(|b| **b == b'\\')
            .count();
        bytes[at] == b'"' && escapes % 2 == 0
    })
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(file)" } else { &self.0 })
    }
}

impl Serialize for KeyPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_lead_back_to_the_root() {
        let path = KeyPath::of("agents").key("a.b \"c").key("model").index(2);
        assert_eq!(path.as_str(), r#"agents."a.b \"c".model[2]"#);
        let up: Vec<String> = std::iter::successors(path.parent(), KeyPath::parent)
            .map(|p| p.to_string())
            .collect();
        assert_eq!(
            up,
            [
                r#"agents."a.b \"c".model"#,
                r#"agents."a.b \"c""#,
                "agents",
                "(file)"
            ]
        );
    }

    #[test]
    fn below_and_under_are_inverse() {
        let base = KeyPath::of("agents.defaults.model");
        let inner = KeyPath::of("primary");
        assert_eq!(inner.under(&base).below(&base), Some(inner));
        assert_eq!(KeyPath::of("agents.defaults.modelling").below(&base), None);
    }
}
