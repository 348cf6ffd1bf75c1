//! `ccpool config show|check|schema`.

use std::io::{self, Write};

use ccpool::config::{Form, KeyPath, Loaded, Origin, Overrides, json_schema};
use serde_json::{Value, json};

use super::command::{Config, Global};
use super::error::{CliError, Exit};
use super::place::load;

/// Runs the command.
pub(crate) fn run(global: &Global, command: &Config) -> Result<Exit, CliError> {
    let mut out = io::stdout().lock();
    let written = match command {
        Config::Schema => writeln!(out, "{:#}", json_schema()),
        Config::Show => {
            let loaded = load(global, Overrides::new())?;
            if global.json {
                writeln!(out, "{:#}", loaded.config.to_redacted_json())
            } else {
                show(&mut out, &loaded)
            }
        }
        Config::Check => {
            let loaded = load(global, Overrides::new())?;
            let file = loaded.sources.file.as_ref();
            let path = file.map(|(path, _)| path.display().to_string());
            let nested = file.is_some_and(|(_, form)| *form == Form::Nested);
            if global.json {
                writeln!(
                    out,
                    "{}",
                    json!({"ok": true, "file": path, "nested": nested})
                )
            } else if global.quiet {
                Ok(())
            } else {
                let place = path.unwrap_or_else(|| "no file, built-in defaults".to_owned());
                writeln!(out, "ok: the configuration is valid ({place})")
            }
        }
    };
    written.map_err(|error| CliError::stdout(&error))?;
    Ok(Exit::Done)
}

/// One line per key: `pool.minWarm: 3  # environment CCPOOL_POOL__MINWARM`.
fn show(out: &mut impl Write, loaded: &Loaded) -> io::Result<()> {
    let mut lines = Vec::new();
    flatten(
        &KeyPath::ROOT,
        &loaded.config.to_redacted_json(),
        &mut lines,
    );
    for (path, value) in lines {
        match loaded.sources.origin(&path) {
            Origin::Default => writeln!(out, "{path}: {value}")?,
            origin => writeln!(out, "{path}: {value}  # {origin}")?,
        }
    }
    Ok(())
}

fn flatten(path: &KeyPath, value: &Value, lines: &mut Vec<(KeyPath, String)>) {
    match value {
        Value::Object(section) if !section.is_empty() => {
            for (key, inner) in section {
                flatten(&path.key(key), inner, lines);
            }
        }
        leaf => lines.push((path.clone(), leaf.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_with_their_origin() {
        let loaded = ccpool::config::Config::load(ccpool::config::LoadOptions {
            path: None,
            env: [("CCPOOL_POOL__MINWARM".to_owned(), "3".to_owned())],
            overrides: Overrides::new(),
            working_dir: "/nowhere".into(),
        })
        .expect("valid");
        let mut out = Vec::new();
        show(&mut out, &loaded).expect("a Vec takes everything");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(
            text.contains("pool.minWarm: 3  # environment CCPOOL_POOL__MINWARM\n"),
            "{text}"
        );
        assert!(
            text.contains("\nhttp.listen: \"127.0.0.1:18789\"\n"),
            "{text}"
        );
    }
}
