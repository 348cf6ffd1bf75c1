//! The forms in which a file may hold the configuration.

use ccpool::config::{Config, Form};

use crate::place::{Place, yaml};

const QUICK_START: &str = "\
agents:
  defaults:
    model:
      primary: docker-claude-code/opus
      fallbacks:
        - claude-cli/opus
        - anthropic/claude-sonnet-4-5

    dockerClaudeCode:
      enabled: true
      pool:
        minWarm: 2      # Warm containers for fast startup
        maxTotal: 10    # Maximum concurrent containers
        maxPerAgent: 3  # Max containers per agent
      image: clawdbot/docker-cc:latest
      resources:
        memory: 4g
        cpus: 2
      redis:
        url: redis://localhost:6379
";

fn assert_is_quick_start(config: &Config) {
    assert!(config.enabled);
    assert_eq!(
        (
            config.pool.min_warm,
            config.pool.max_total,
            config.pool.max_per_agent
        ),
        (2, 10, 3)
    );
    assert_eq!(config.image.as_str(), "clawdbot/docker-cc:latest");
    assert_eq!(config.resources.memory.as_u64(), 4 << 30);
    assert_eq!(config.resources.cpus.get(), 2_000_000_000);
    assert_eq!(config.redis.url.to_string(), "redis://localhost:6379");
    assert_eq!(config.model.primary.to_string(), "docker-claude-code/opus");
    let fallbacks: Vec<_> = config
        .model
        .fallbacks
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        fallbacks,
        ["claude-cli/opus", "anthropic/claude-sonnet-4-5"]
    );
}

#[test]
fn the_nested_form_works_unchanged_among_foreign_keys() {
    let place = Place::new().file(".clawdbot/config.yaml", QUICK_START);
    let loaded = place.load().expect("the Quick Start");
    assert_is_quick_start(&loaded.config);
    let (file, form) = loaded.sources.file.expect("a file");
    assert!(file.ends_with(".clawdbot/config.yaml"));
    assert_eq!(form, Form::Nested);

    let foreign = format!(
        "channels: {{telegram: {{token: x, token: y}}}}\npool: 7\n{}",
        QUICK_START.replace(
            "  defaults:\n",
            "  list: [{id: main}]\n  defaults:\n    workspace: ~/x\n"
        )
    );
    let loaded = yaml(&foreign).load().expect("foreign keys are tolerated");
    assert_is_quick_start(&loaded.config);
    assert_eq!(loaded.sources.passed_over, ["pool"]);
}

#[test]
fn the_flat_form_and_the_fallback_snippet_work_unchanged() {
    let flat: String = QUICK_START
        .split_once("dockerClaudeCode:\n")
        .expect("the section")
        .1
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("      ").expect("indented")))
        .collect();
    let snippet = "model:
  primary: docker-claude-code/opus
  fallbacks:
    - claude-cli/opus        # Falls back to CLI if Docker unavailable
    - anthropic/claude-sonnet-4-5  # Falls back to API if CLI fails
";
    assert_is_quick_start(&yaml(&format!("{flat}\n{snippet}")).config());
    let only_models = yaml(snippet).config();
    assert_eq!(only_models.model.fallbacks.len(), 2);
    let Config {
        model, data_dir, ..
    } = only_models.clone();
    assert_eq!(
        only_models,
        Config {
            model,
            data_dir,
            ..Config::default()
        }
    );
}
