use std::path::Path;

use figment::value::{Dict, Value};
use serde_saphyr::DuplicateKeyPolicy;

use super::given::kind;
use super::key_path::KeyPath;
use super::marks::Marks;
use super::problem::{Origin, Problem};
use super::schema::Shape;

/// A configuration file is read by people; more than this is some other file.
const LARGEST: usize = 1 << 20;

/// How a file holds the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The keys stand at the top.
    Flat,
    /// A Clawdbot configuration file: the keys stand under `agents.defaults.dockerClaudeCode`,
    /// the models under `agents.defaults.model`, and everything else is someone else's.
    Nested,
}

/// A configuration file, brought to the flat form. Its keys are not checked yet.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) form: Form,
    pub(crate) root: Dict,
    pub(crate) marks: Marks,
    pub(crate) problems: Vec<Problem>,
    /// Top-level keys of a nested file that look like ours and are not read.
    pub(crate) passed_over: Vec<String>,
}

impl Document {
    /// Reads the text of `path`. `Err` is for a text that cannot be taken in at all.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Problem> {
        let whole = |line, what: String, mend: &str| Problem {
            path: KeyPath::ROOT,
            source: Origin::File {
                path: path.to_owned(),
                line,
            },
            what,
            mend: mend.to_owned(),
        };
        if bytes.len() > LARGEST {
            let what = format!(
                "the file has {} bytes, too many for a configuration",
                bytes.len()
            );
            return Err(whole(None, what, "name the right file"));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = before
                .iter()
                .fold(1, |line, byte| line + u64::from(*byte == b'\n'));
            whole(
                Some(line),
                "the file is not UTF-8".to_owned(),
                "save it as UTF-8",
            )
        })?;
        let options = serde_saphyr::options! {
            // Doubled keys are reported from the marks, all of them.
            duplicate_keys: DuplicateKeyPolicy::FirstWins,
            with_snippet: false,
        };
        let value: Option<Value> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let line = error
                    .location()
                    .map(|place| place.line())
                    .filter(|line| *line > 0);
                whole(
                    line,
                    format!("no YAML: {}", one_line(&error)),
                    "mend the syntax here",
                )
            })?;
        let marks = Marks::of(text);
        let line = marks.line(&KeyPath::ROOT);
        let root = match value {
            None | Some(Value::Empty(..)) => Dict::new(),
            Some(Value::Dict(_, root)) => root,
            Some(other) => {
                let what = format!("the file is {}, not a section of keys", kind(&other));
                return Err(whole(line, what, "write `key: value` lines"));
            }
        };
        Ok(Self::unfold(path, root, marks))
    }

    /// `true` if the file has what makes it a Clawdbot configuration for this pool.
    pub(crate) fn is_for_us(&self) -> bool {
        self.form == Form::Nested
    }

    fn unfold(path: &Path, mut root: Dict, marks: Marks) -> Self {
        let Some(Value::Dict(_, agents)) = root.get("agents") else {
            return Self::flat(path, root, marks, Vec::new());
        };
        let Some(defaults) = agents.get("defaults") else {
            return Self::flat(path, root, marks, Vec::new());
        };
        let ours = own_keys(&root);
        let nested = defaults.as_dict().is_some_and(|defaults| {
            defaults.contains_key("dockerClaudeCode")
                || (ours.is_empty() && defaults.contains_key("model"))
        });
        if nested {
            let defaults = defaults.as_dict().cloned().unwrap_or_default();
            return Self::nested(path, &defaults, &marks, ours);
        }
        let at = KeyPath::of("agents.defaults");
        let problem = Problem {
            source: Origin::File {
                path: path.to_owned(),
                line: marks.line(&at),
            },
            path: at,
            what: "`agents.defaults` belongs to Clawdbot's form of the file, which keeps \
                   the options in `agents.defaults.dockerClaudeCode`"
                .to_owned(),
            mend: "move the options there, or write `model` at the top".to_owned(),
        };
        if let Some(Value::Dict(_, agents)) = root.get_mut("agents") {
            agents.remove("defaults");
        }
        Self::flat(path, root, marks, vec![problem])
    }

    fn flat(path: &Path, root: Dict, marks: Marks, problems: Vec<Problem>) -> Self {
        let mut document = Self {
            form: Form::Flat,
            root,
            marks,
            problems,
            passed_over: Vec::new(),
        };
        document.report_doubled(path);
        document
    }

    fn nested(path: &Path, defaults: &Dict, marks: &Marks, ours: Vec<String>) -> Self {
        let base = KeyPath::of("agents.defaults.dockerClaudeCode");
        let models = KeyPath::of("agents.defaults.model");
        let mut own = marks.moved(&models, &KeyPath::of("model"));
        own.overlay(marks.moved(&base, &KeyPath::ROOT));
        // `agents` or `agents.defaults` twice would hide options; twice elsewhere is not ours.
        own.doubled.extend(
            marks
                .doubled
                .iter()
                .filter(|d| base.below(&d.path).is_some() && d.path != base)
                .cloned(),
        );

        let mut problems = Vec::new();
        let mut root = match defaults.get("dockerClaudeCode") {
            Some(Value::Dict(_, root)) => root.clone(),
            None | Some(Value::Empty(..)) => Dict::new(),
            Some(other) => {
                problems.push(Problem {
                    source: Origin::File {
                        path: path.to_owned(),
                        line: marks.line(&base),
                    },
                    path: base.clone(),
                    what: format!("`{base}` is {}, not a section", kind(other)),
                    mend: "write its keys indented below it".to_owned(),
                });
                Dict::new()
            }
        };
        if let Some(model) = defaults.get("model") {
            match (root.get_mut("model"), model) {
                // What stands nearer to the pool wins.
                (Some(Value::Dict(_, inner)), Value::Dict(_, outer)) => {
                    for (key, value) in outer {
                        inner.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
                (Some(_), _) => {}
                (None, model) => {
                    root.insert("model".to_owned(), model.clone());
                }
            }
        }
        let mut document = Self {
            form: Form::Nested,
            root,
            marks: own,
            problems,
            passed_over: ours,
        };
        document.report_doubled(path);
        document
    }

    fn report_doubled(&mut self, path: &Path) {
        for doubled in &self.marks.doubled {
            self.problems.push(Problem {
                path: doubled.path.clone(),
                source: Origin::File {
                    path: path.to_owned(),
                    line: Some(doubled.line),
                },
                what: format!(
                    "`{}` stands in line {} already",
                    doubled.path, doubled.first_line
                ),
                mend: "keep one of the two".to_owned(),
            });
        }
    }
}

/// The keys at the top that the flat form knows, `agents` apart, which both forms have.
fn own_keys(root: &Dict) -> Vec<String> {
    let Shape::Section(known) = Shape::root() else {
        return Vec::new();
    };
    root.keys()
        .filter(|key| *key != "agents" && known.contains_key(*key))
        .cloned()
        .collect()
}

/// A parser's message as one line without the place, which is told separately.
fn one_line(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default().trim();
    let end = message.find(" at line ").unwrap_or(message.len());
    message[..end].trim_end_matches([':', ',', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(Path::new("c.yaml"), text.as_bytes()).expect("YAML")
    }

    #[test]
    fn both_forms_come_out_flat() {
        let flat = parse("pool: {minWarm: 2}\n");
        assert_eq!(flat.form, Form::Flat);
        let nested = parse(
            "channels: {x: [1]}\nagents:\n  defaults:\n    model: {primary: a/b}\n    \
             dockerClaudeCode:\n      pool: {minWarm: 2}\n",
        );
        assert_eq!(nested.form, Form::Nested);
        assert_eq!(flat.root.get("pool"), nested.root.get("pool"));
        assert!(nested.root.contains_key("model"));
        assert_eq!(nested.marks.line(&KeyPath::of("pool.minWarm")), Some(6));
        assert_eq!(nested.marks.line(&KeyPath::of("model.primary")), Some(4));
    }

    #[test]
    fn the_nearer_model_wins() {
        let both = parse(
            "agents:\n  defaults:\n    model: {primary: a/far, fallbacks: [a/far]}\n    \
             dockerClaudeCode:\n      model: {primary: a/near}\n",
        );
        let model = both.root["model"].as_dict().expect("a section");
        assert_eq!(model["primary"].as_str(), Some("a/near"));
        assert!(model.contains_key("fallbacks"));
    }

    #[test]
    fn forms_do_not_mix() {
        let mixed = parse("pool: {minWarm: 2}\nagents:\n  defaults:\n    model: {primary: a/b}\n");
        assert_eq!(mixed.form, Form::Flat);
        assert_eq!(mixed.problems.len(), 1);
        assert_eq!(mixed.problems[0].line(), Some(3));
    }

    #[test]
    fn keys_passed_over_are_told() {
        let file = parse("redis: {url: x}\nui: 1\nagents: {defaults: {dockerClaudeCode: {}}}\n");
        assert_eq!(file.passed_over, ["redis"]);
    }
}
