use figment::value::{Dict, Value};

use super::key_path::KeyPath;
use super::layer::{Layer, Provenance};
use super::nearest::nearest;
use super::problem::{Origin, Problem};
use super::schema::{Leaf, Shape};

const PREFIX: &str = "CCPOOL_";
/// Names the configuration file; read by the search for it.
pub(crate) const CONFIG_FILE: &str = "CCPOOL_CONFIG";

/// One layer per variable, weakest first: those of other names (`REDIS_URL`), then every `CCPOOL_…`, sections before
/// what stands in them. Empty variables count as unset.
///
/// A `CCPOOL_` name with `__` in it must be a known key; one without may belong to something
/// else and is only refused where it looks like a slip.
pub(crate) fn layers(environment: &[(String, String)]) -> (Vec<Layer>, Vec<Problem>) {
    let mut found: Vec<(u8, Vec<String>, &str, Value)> = Vec::new();
    let mut problems = Vec::new();
    for (name, text) in environment {
        if text.is_empty() {
            continue;
        }
        let by_another_name = match name.as_str() {
            "REDIS_URL" => Some(["redis", "url"]),
            // Meant for every program of this environment: one that ccpool cannot serve is no mistake.
            "OTEL_EXPORTER_OTLP_ENDPOINT" if text.starts_with("http://") => {
                Some(["telemetry", "otlpEndpoint"])
            }
            _ => None,
        };
        if let Some(keys) = by_another_name {
            let keys = keys.map(str::to_owned).to_vec();
            found.push((0, keys, name, Value::from(text.as_str())));
            continue;
        }
        let Some(rest) = strip_prefix_ignoring_case(name, PREFIX) else {
            continue;
        };
        if name.eq_ignore_ascii_case(CONFIG_FILE) {
            continue;
        }
        match resolve(rest) {
            Ok((keys, shape)) => found.push((1, keys, name, typed(text, shape))),
            Err(known) => problems.extend(unknown(name, rest, &known)),
        }
    }
    found.sort_by(|a, b| (a.0, a.1.len(), a.2).cmp(&(b.0, b.1.len(), b.2)));
    let layers = found.into_iter().map(|(_, keys, name, value)| {
        let source = Named(Origin::Environment {
            name: name.to_owned(),
        });
        Layer::sift(wrapped(&keys, value), &source)
    });
    (layers.collect(), problems)
}

/// All values of a layer came from one named place.
pub(crate) struct Named(pub(crate) Origin);

impl Provenance for Named {
    fn origin(&self, _: &KeyPath) -> Origin {
        self.0.clone()
    }

    fn plain(&self, _: &KeyPath) -> Option<&str> {
        None
    }
}

/// `pool`, `minWarm`, 3 → `{pool: {minWarm: 3}}`.
pub(crate) fn wrapped(keys: &[String], value: Value) -> Dict {
    match keys {
        [] => value.into_dict().unwrap_or_default(),
        [key] => Dict::from([(key.clone(), value)]),
        [key, inner @ ..] => Dict::from([(key.clone(), Value::from(wrapped(inner, value)))]),
    }
}

/// The camelCase keys that `POOL__MINWARM` stands for, and what belongs there. `Err` holds the
/// keys that were still known.
fn resolve(rest: &str) -> Result<(Vec<String>, &'static Shape), Vec<String>> {
    let mut keys = Vec::new();
    let mut shape = Shape::root();
    let mut segments = rest.split("__");
    while let Some(segment) = segments.next() {
        match shape {
            Shape::Section(known) => {
                match known
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(segment))
                {
                    Some((key, inner)) => {
                        keys.push(key.clone());
                        shape = inner;
                    }
                    None => return Err(keys),
                }
            }
            // The name of a variable or an agent is the person's own, and kept as written. In
            // a map of plain values nothing stands deeper, so `__` belongs to the name.
            Shape::Map(inner) => {
                shape = inner;
                let deeper = matches!(**inner, Shape::Section(_));
                let name = match deeper {
                    true => segment.to_owned(),
                    false => std::iter::once(segment)
                        .chain(segments.by_ref())
                        .collect::<Vec<_>>()
                        .join("__"),
                };
                keys.push(name);
            }
            Shape::List(_) | Shape::Leaf(_) => return Err(keys),
        }
    }
    Ok((keys, shape))
}

fn unknown(name: &str, rest: &str, known: &[String]) -> Option<Problem> {
    let names = variable_names();
    let near = nearest(rest, names.iter().map(String::as_str));
    if near.is_none() && !rest.contains("__") {
        return None;
    }
    let mend = match near {
        Some(near) => format!("did you mean `{PREFIX}{near}`?"),
        None => "unset it, or see the list of keys in `ccpool config schema`".to_owned(),
    };
    let mut path = KeyPath::ROOT;
    for key in known {
        path = path.key(key);
    }
    for key in rest.split("__").skip(known.len()) {
        path = path.key(&key.to_ascii_lowercase());
    }
    Some(Problem {
        path,
        source: Origin::Environment {
            name: name.to_owned(),
        },
        what: format!("no key belongs to the variable `{name}`"),
        mend,
    })
}

/// The names of all variables without prefix, such as `POOL__MINWARM`; maps left out, since
/// their keys are free.
fn variable_names() -> Vec<String> {
    let mut names = Vec::new();
    Shape::root().each_leaf(&mut Vec::new(), &mut |keys| {
        if !keys.contains(&"*") {
            names.push(keys.join("__").to_ascii_uppercase());
        }
    });
    names
}

/// The value that a text stands for at a place: text stays text, lists are `a,b` or `[a, b]`,
/// sections `{a: b}`.
pub(crate) fn typed(text: &str, shape: &Shape) -> Value {
    match shape {
        Shape::Leaf(Leaf { text: true, .. }) => Value::from(text),
        Shape::Leaf(Leaf { truth: true, .. }) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Value::from(true),
            "false" | "no" | "off" | "0" => Value::from(false),
            _ => Value::from(text),
        },
        Shape::Leaf(_) => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (Err(_), Ok(number)) => Value::from(number),
            (Err(_), Err(_)) => Value::from(text),
        },
        Shape::List(_) if !text.trim_start().starts_with('[') => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::from(items.map(str::to_owned).collect::<Vec<_>>())
        }
        // A text that does not parse stays text, and is then refused as no list or section.
        Shape::List(_) | Shape::Section(_) | Shape::Map(_) => {
            serde_saphyr::from_str(text).unwrap_or_else(|_| Value::from(text))
        }
    }
}

/// The shape at a path of camelCase keys such as `pool.minWarm`, if there is one.
pub(crate) fn shape_at(keys: &[String]) -> Option<&'static Shape> {
    keys.iter()
        .try_fold(Shape::root(), |shape, key| match shape {
            Shape::Section(known) => known.get(key),
            Shape::Map(inner) => Some(&**inner),
            Shape::List(_) | Shape::Leaf(_) => None,
        })
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}
