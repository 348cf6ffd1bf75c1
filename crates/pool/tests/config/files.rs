//! The files that come with the project say what the code does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ccpool::config::{Config, PermissionMode, RuntimeKind, json_schema, key_paths};

use crate::place::yaml;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn repository_file(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

#[test]
fn the_default_file_is_the_defaults() {
    let place = yaml(&repository_file("config/default.yaml"));
    let loaded = place.load().unwrap_or_else(|errors| panic!("{errors}"));
    let defaults = Config {
        data_dir: loaded.config.data_dir.clone(),
        ..Config::default()
    };
    assert_eq!(loaded.config, defaults);
    // Every key is written out, `null` where nothing is set.
    let written: serde_json::Value =
        serde_saphyr::from_str(&repository_file("config/default.yaml")).expect("YAML");
    for path in key_paths().iter().filter(|path| !path.contains('*')) {
        let pointer = format!("/{}", path.replace('.', "/"));
        assert!(
            written.pointer(&pointer).is_some(),
            "{path} is missing in default.yaml"
        );
    }
}

#[test]
fn the_example_loads() {
    let config = yaml(&repository_file("config/example.yaml")).config();
    assert_eq!(config.timeouts.turn, Some(Duration::from_secs(1800)));
    assert_eq!(config.permissions.mode, PermissionMode::AcceptEdits);
    assert_eq!(config.agents["reviewer"].max_containers, Some(1));
    assert_eq!(config.runtime, RuntimeKind::Docker);
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let config =
        yaml(&repository_file("config/example.yaml").replace("    TZ: Etc/UTC", "    {}")).config();
    let shown = config.to_redacted_json().to_string();
    assert_eq!(yaml(&shown).config(), config);
}

#[test]
fn the_schema_file_is_current() {
    let path = repository().join("config/ccpool.schema.json");
    let schema = json_schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        std::fs::write(&path, text).expect("the schema file");
    }
    // Compared as values: the order of keys depends on which features other crates turn on.
    let written = std::fs::read(&path).unwrap_or_default();
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap_or_default();
    assert!(
        written == schema,
        "run this test with UPDATE_SCHEMA=1 to write {}",
        path.display()
    );
}

#[test]
fn the_manual_names_every_key_and_its_examples_load() {
    let manual = repository_file("docs/configuration.md");
    for path in key_paths() {
        let named = path.replace('*', "<name>");
        assert!(
            manual.contains(&format!("| `{named}` |")),
            "{named} is not in the manual"
        );
    }
    let mut blocks = 0;
    for block in manual.split("```yaml\n").skip(1) {
        let block = block.split("```").next().expect("an end");
        let loaded = yaml(block).load();
        assert!(loaded.is_ok(), "{}\n{block}", loaded.expect_err("problems"));
        blocks += 1;
    }
    assert!(blocks >= 3, "the manual has only {blocks} examples");
    // The example of errors is what is really said.
    let wrong = manual.split("```yml\n").nth(1).expect("a wrong example");
    let errors = yaml(wrong.split("```").next().expect("an end"))
        .load()
        .expect_err("problems");
    let said: String = errors
        .problems()
        .iter()
        .map(|p| {
            format!(
                "ccpool.yaml:{}: {}; {}\n",
                p.line().expect("a line"),
                p.what,
                p.mend
            )
        })
        .collect();
    assert!(
        manual.contains(&format!("```text\n{said}```")),
        "the manual does not say:\n{said}"
    );
}
