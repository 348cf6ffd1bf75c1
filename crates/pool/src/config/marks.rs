use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use super::key_path::KeyPath;

/// Where each key of a YAML text stands. A pass of its own, because a parsed value no longer
/// knows its line, and because a parser that reads into values stops at the first doubled key.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    entries: BTreeMap<KeyPath, Mark>,
    /// Keys written twice in one section.
    pub(crate) doubled: Vec<Doubled>,
}

#[derive(Clone, Debug)]
struct Mark {
    line: u64,
    /// What a plain (unquoted) scalar says, letter by letter.
    plain: Option<String>,
}

/// A key written twice; lines count from 1.
#[derive(Clone, Debug)]
pub(crate) struct Doubled {
    pub(crate) path: KeyPath,
    pub(crate) first_line: u64,
    pub(crate) line: u64,
}

impl Marks {
    /// Reads the first document of `text`. Stops where the text is no YAML.
    pub(crate) fn of(text: &str) -> Self {
        let mut pass = Pass::default();
        for next in Parser::new_from_str(text) {
            let Ok((event, span)) = next else { break };
            let line = u64::try_from(span.start.line()).unwrap_or(u64::MAX);
            match event {
                Event::Scalar(value, style, _, tag) => {
                    let plain = style == ScalarStyle::Plain && tag.is_none();
                    pass.scalar(&value, plain, line);
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => pass.scalar("*", false, line),
                Event::MappingStart(..) => pass.open(line, Inside::section()),
                Event::SequenceStart(..) => pass.open(line, Inside::List { next: 0 }),
                Event::MappingEnd | Event::SequenceEnd => pass.close(),
                Event::DocumentEnd => break,
                _ => {}
            }
        }
        pass.marks
    }

    /// The line of `path`, or of the nearest key above it that was written out.
    pub(crate) fn line(&self, path: &KeyPath) -> Option<u64> {
        std::iter::successors(Some(path.clone()), KeyPath::parent)
            .find_map(|path| self.entries.get(&path))
            .map(|mark| mark.line)
    }

    /// What the plain scalar at `path` says, letter by letter: `0123` is not 123.
    pub(crate) fn plain(&self, path: &KeyPath) -> Option<&str> {
        self.entries.get(path)?.plain.as_deref()
    }

    /// The marks below `base`, put below `new_base`; `self` loses nothing.
    pub(crate) fn moved(&self, base: &KeyPath, new_base: &KeyPath) -> Self {
        let place = |path: &KeyPath| Some(path.below(base)?.under(new_base));
        Self {
            entries: self
                .entries
                .iter()
                .filter_map(|(path, mark)| Some((place(path)?, mark.clone())))
                .collect(),
            doubled: self
                .doubled
                .iter()
                .filter_map(|d| {
                    Some(Doubled {
                        path: place(&d.path)?,
                        ..d.clone()
                    })
                })
                .collect(),
        }
    }

    /// Adds the marks of `other`, which win.
    pub(crate) fn overlay(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.doubled.extend(other.doubled);
    }
}

#[derive(Default)]
struct Pass {
    marks: Marks,
    open: Vec<Open>,
}

struct Open {
    path: KeyPath,
    inside: Inside,
    /// This collection is itself a key; its end begins a value.
    is_key: bool,
}

enum Inside {
    Section {
        keys: BTreeMap<String, u64>,
        awaiting: Option<(KeyPath, u64)>,
    },
    List {
        next: usize,
    },
}

impl Inside {
    fn section() -> Self {
        Self::Section {
            keys: BTreeMap::new(),
            awaiting: None,
        }
    }
}

/// What the next node of the innermost collection is.
enum Place {
    Key,
    Value(KeyPath, u64),
}

impl Pass {
    fn place(&mut self, line: u64) -> Place {
        let Some(open) = self.open.last_mut() else {
            return Place::Value(KeyPath::ROOT, line);
        };
        match &mut open.inside {
            Inside::Section { awaiting, .. } => match awaiting.take() {
                Some((path, line)) => Place::Value(path, line),
                None => Place::Key,
            },
            Inside::List { next } => {
                *next += 1;
                Place::Value(open.path.index(*next - 1), line)
            }
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, line: u64) {
        match self.place(line) {
            Place::Key => self.key(text, line),
            Place::Value(path, line) => {
                let plain = plain.then(|| text.to_owned());
                self.marks
                    .entries
                    .entry(path)
                    .or_insert(Mark { line, plain });
            }
        }
    }

    fn key(&mut self, text: &str, line: u64) {
        let Some(Open {
            path,
            inside: Inside::Section { keys, awaiting },
            ..
        }) = self.open.last_mut()
        else {
            return;
        };
        let path = path.key(text);
        match keys.get(text) {
            // A merge key may stand twice; each merges something.
            Some(&first_line) if text != "<<" => {
                self.marks.doubled.push(Doubled {
                    path: path.clone(),
                    first_line,
                    line,
                });
            }
            Some(_) | None => {
                keys.insert(text.to_owned(), line);
            }
        }
        *awaiting = Some((path, line));
    }

    fn open(&mut self, line: u64, inside: Inside) {
        let (path, is_key) = match self.place(line) {
            Place::Key => (KeyPath::of("?"), true),
            Place::Value(path, line) => {
                self.marks
                    .entries
                    .entry(path.clone())
                    .or_insert(Mark { line, plain: None });
                (path, false)
            }
        };
        self.open.push(Open {
            path,
            inside,
            is_key,
        });
    }

    fn close(&mut self) {
        let is_key = self.open.pop().is_some_and(|closed| closed.is_key);
        if let (
            true,
            Some(Open {
                inside: Inside::Section { awaiting, .. },
                ..
            }),
        ) = (is_key, self.open.last_mut())
        {
            *awaiting = Some((KeyPath::of("?"), 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_knows_its_line() {
        let marks = Marks::of(
            "pool:\n  minWarm: 1\n\n  maxTotal: 010\nmodel:\n  fallbacks:\n    - a\n    - 'b'\n",
        );
        let line = |path| marks.line(&KeyPath::of(path));
        assert_eq!(line("pool"), Some(1));
        assert_eq!(line("pool.minWarm"), Some(2));
        assert_eq!(line("pool.maxTotal"), Some(4));
        assert_eq!(line("model.fallbacks[1]"), Some(8));
        assert_eq!(line("model.fallbacks[1].deeper"), Some(8));
        assert_eq!(marks.plain(&KeyPath::of("pool.maxTotal")), Some("010"));
        assert_eq!(marks.plain(&KeyPath::of("model.fallbacks[1]")), None);
    }

    #[test]
    fn doubled_keys_are_all_found() {
        let marks = Marks::of("a: 1\nb: {x: 1, x: 2}\na: 3\n? [c, d]\n: 4\na: 5\n");
        let found: Vec<_> = marks
            .doubled
            .iter()
            .map(|d| (d.path.as_str(), d.first_line, d.line))
            .collect();
        assert_eq!(found, [("b.x", 2, 2), ("a", 1, 3), ("a", 1, 6)]);
    }
}
