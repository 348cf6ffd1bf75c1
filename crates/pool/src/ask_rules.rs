//! `permissions.ask`, which the CLI takes as a part of its settings only. Of several `--settings` it
//! reads the last one alone, so the rules go into the one that is there.

use serde_json::{Value, json};

const FLAG: &str = "--settings";

/// The arguments, with the rules among them.
pub(crate) fn merged(mut arguments: Vec<String>, rules: &[String]) -> Vec<String> {
    if rules.is_empty() {
        return arguments;
    }
    let Some(last) = last(&arguments) else {
        let settings = json!({"permissions": {"ask": rules}});
        arguments.splice(0..0, [FLAG.to_owned(), settings.to_string()]);
        return arguments;
    };
    // A file was refused with the configuration; its settings stay as they are.
    if let Some(mut settings) = object(last.value(&arguments)) {
        let ask = &mut settings["permissions"]["ask"];
        let mut all = ask.as_array().cloned().unwrap_or_default();
        all.extend(rules.iter().map(|rule| Value::from(rule.as_str())));
        *ask = Value::Array(all);
        last.replace(&mut arguments, &settings.to_string());
    }
    arguments
}

/// Which argument would put rules out of force: settings in a file, which cannot be read here.
pub(crate) fn hidden_by(arguments: &[String]) -> Option<usize> {
    let last = last(arguments)?;
    object(last.value(arguments)).is_none().then_some(last.at)
}

/// Where the last settings are.
struct Last {
    at: usize,
    /// `--settings=…`, rather than the argument after the flag.
    joined: bool,
}

impl Last {
    fn value<'a>(&self, arguments: &'a [String]) -> &'a str {
        let argument = arguments[self.at].as_str();
        match self.joined {
            true => &argument[FLAG.len() + 1..],
            false => argument,
        }
    }

    fn replace(&self, arguments: &mut [String], settings: &str) {
        arguments[self.at] = match self.joined {
            true => format!("{FLAG}={settings}"),
            false => settings.to_owned(),
        };
    }
}

fn last(arguments: &[String]) -> Option<Last> {
    let joined = |argument: &String| {
        let rest = argument.strip_prefix(FLAG);
        rest.is_some_and(|rest| rest.starts_with('='))
    };
    let mut at = arguments.iter().enumerate().rev();
    at.find_map(|(at, argument)| {
        if joined(argument) {
            return Some(Last { at, joined: true });
        }
        (argument == FLAG && at + 1 < arguments.len()).then_some(Last {
            at: at + 1,
            joined: false,
        })
    })
}

/// Settings that can be added to.
fn object(text: &str) -> Option<Value> {
    let settings: Value = serde_json::from_str(text).ok()?;
    let inner = |name: &str, of: &Value| of.get(name).cloned().unwrap_or(Value::Null);
    let permissions = inner("permissions", &settings);
    let ask = inner("ask", &permissions);
    let fits = settings.is_object()
        && (permissions.is_object() || permissions.is_null())
        && (ask.is_array() || ask.is_null());
    fits.then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        merged(arguments.collect(), &["WebFetch".to_owned()])
    }

    #[test]
    fn rules_join_the_settings_that_count() {
        let own = r#"{"permissions":{"ask":["WebFetch"]}}"#;
        assert_eq!(with(&["--x"]), ["--settings", own, "--x"]);
        assert_eq!(with(&["--settings"]), ["--settings", own, "--settings"]);
        let first = r#"{"a":1}"#;
        assert_eq!(
            with(&[
                "--settings",
                first,
                "--settings",
                r#"{"permissions":{"ask":["Bash"]}}"#
            ]),
            [
                "--settings",
                first,
                "--settings",
                r#"{"permissions":{"ask":["Bash","WebFetch"]}}"#
            ]
        );
        assert_eq!(with(&["--settings={}"]), [format!("--settings={own}")]);
        assert_eq!(merged(vec!["x".into()], &[]), ["x"]);
    }

    #[test]
    fn settings_in_a_file_hide_them() {
        let hidden = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|&a| a.to_owned()).collect();
            hidden_by(&arguments)
        };
        assert_eq!(hidden(&["--settings", "/etc/claude.json"]), Some(1));
        assert_eq!(hidden(&["--settings=x.json"]), Some(0));
        assert_eq!(hidden(&["--settings", r#"{"permissions":3}"#]), Some(1));
        assert_eq!(hidden(&["--settings", "x.json", "--settings", "{}"]), None);
        assert_eq!(hidden(&["--model", "x"]), None);
    }
}
