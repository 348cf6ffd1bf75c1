//! Where values come from, and which source wins.

use std::path::Path;

use ccpool::config::{KeyPath, Loaded, RedisAcl, RedisTarget};

use crate::place::{Place, said, yaml};

#[test]
fn sources_win_in_order() {
    let place = yaml("pool: {minWarm: 1, maxTotal: 4, maxPerAgent: 2}\nredis: {url: redis://file}")
        .var("CCPOOL_POOL__MAXTOTAL", "5")
        .var("ccpool_pool__maxPerAgent", "4")
        .var("REDIS_URL", "redis://environment")
        .var("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        .flag("pool.maxPerAgent", "5");
    let Loaded { config, sources } = place.load().expect("a configuration");
    assert_eq!(
        (
            config.pool.min_warm,
            config.pool.max_total,
            config.pool.max_per_agent
        ),
        (1, 5, 5)
    );
    assert_eq!(config.redis.url.to_string(), "redis://environment");
    let collector = config.telemetry.otlp_endpoint.expect("a collector");
    assert_eq!(collector.as_str(), "http://collector:4318");
    let origin = |path| sources.origin(&KeyPath::of(path)).to_string();
    assert!(origin("pool.minWarm").ends_with("ccpool.yaml:1"));
    assert_eq!(origin("pool.maxTotal"), "environment CCPOOL_POOL__MAXTOTAL");
    assert_eq!(origin("pool.maxPerAgent"), "flag --set pool.maxPerAgent");
    assert_eq!(origin("redis.url"), "environment REDIS_URL");
    assert_eq!(origin("image"), "default");

    let ours = place.var("CCPOOL_REDIS__URL", "embedded").config();
    assert_eq!(ours.redis.url, RedisTarget::Embedded);
}

#[test]
fn the_environment_reaches_every_kind_of_value() {
    let config = Place::new()
        .var("CCPOOL_HTTP__TOKEN", "012345")
        .var("CCPOOL_ENABLED", "0")
        .var("CCPOOL_RESOURCES__CPUS", "1.5")
        .var("CCPOOL_RESOURCES__MEMORY", "1073741824")
        .var("CCPOOL_MODEL__FALLBACKS", "claude-cli/b, anthropic/d")
        .var("CCPOOL_CLAUDE__EXTRAARGS", "[--max-turns, 3]")
        .var("CCPOOL_DOCKER__ENV__Some__Name", "x")
        .var("CCPOOL_CLAUDE__ENV", "{A: 1}")
        .var("CCPOOL_AGENTS__main__MAXCONTAINERS", "2")
        .var("CCPOOL_REDIS__ACL", "on")
        .var("CCPOOL_SKIPPERMISSIONS", "")
        .var("CCPOOL_SOMETHING_ELSE", "1")
        .config();
    assert_eq!(config.http.token.expect("a token").expose(), "012345");
    assert!(!config.enabled);
    assert_eq!(config.resources.cpus.get(), 1_500_000_000);
    assert_eq!(config.resources.memory.as_u64(), 1 << 30);
    assert_eq!(config.model.fallbacks[1].to_string(), "anthropic/d");
    assert_eq!(config.claude.extra_args, ["--max-turns", "3"]);
    assert_eq!(config.docker.env["Some__Name"].expose(), "x");
    assert_eq!(config.claude.env["A"].expose(), "1");
    assert_eq!(config.agents["main"].max_containers, Some(2));
    assert_eq!(config.redis.acl, RedisAcl::On);
}

#[test]
fn slips_in_variable_names_are_told() {
    for (name, mend) in [
        ("CCPOOL_POOL__MIN_WARM", "`CCPOOL_POOL__MINWARM`"),
        ("CCPOOL_POOL_MINWARM", "`CCPOOL_POOL__MINWARM`"),
        ("CCPOOL_RUNTIM", "`CCPOOL_RUNTIME`"),
        ("CCPOOL_NO__SUCH", "ccpool config schema"),
        ("CCPOOL_IMAGE__X__Y", "`CCPOOL_IMAGE`"),
    ] {
        let said = said(&Place::new().var(name, "1"));
        assert!(said.len() == 1 && said[0].contains(mend), "{said:?}");
        assert!(said[0].starts_with(name), "{said:?}");
    }
}

#[test]
fn text_stays_as_it_was_written() {
    let config = yaml(
        "http: {token: 0123}
redis: {acl: off}
claude: {version: 2.1.329, extraArgs: [--max-turns, 3, on]}
docker: {env: {A: 1.10, B: yes, C: '', D: 0x1F}}
agents: {on: {maxContainers: 1}, 7: {model: anthropic/b}, a.b: {}}
image: &i x/y:1
imageBuild: {base: *i}
",
    )
    .config();
    assert_eq!(config.http.token.expect("a token").expose(), "0123");
    assert_eq!(config.redis.acl, RedisAcl::Off);
    assert_eq!(config.claude.extra_args, ["--max-turns", "3", "on"]);
    let env: Vec<_> = config
        .docker
        .env
        .values()
        .map(|value| value.expose())
        .collect();
    assert_eq!(env, ["1.10", "yes", "", "0x1F"]);
    assert_eq!(config.agents.keys().collect::<Vec<_>>(), ["7", "a.b", "on"]);
    assert_eq!(config.image_build.base.as_str(), "x/y:1");
}

#[test]
fn files_are_searched_in_order() {
    let clawdbot = "agents: {defaults: {dockerClaudeCode: {pool: {minWarm: 5}}}}";
    let place = Place::new();
    assert!(place.load().expect("no file at all").sources.file.is_none());

    let warm = |place: &Place| place.config().pool.min_warm;
    let place = place.file(".clawdbot/config.yaml", "channels: {}\n");
    assert_eq!(warm(&place), 0);
    let place = place.file(".clawdbot/config.yaml", "channels: [\n");
    assert_eq!(warm(&place), 0);
    let place = place.file(".clawdbot/config.yaml", format!("{clawdbot}\nx: ["));
    assert!(place.load().is_err());
    let place = place.file(".clawdbot/config.yaml", clawdbot);
    assert_eq!(warm(&place), 5);
    let place = place.file(".config/ccpool/config.yaml", "pool: {minWarm: 4}");
    assert_eq!(warm(&place), 4);
    let place = place.file("ccpool.yaml", "pool: {minWarm: 3}");
    assert_eq!(warm(&place), 3);
    let place = place
        .file("other.yaml", "pool: {minWarm: 2}")
        .var("CCPOOL_CONFIG", "~/other.yaml");
    assert_eq!(warm(&place), 2);
    let place = place.file("named.yaml", "pool: {minWarm: 1}");
    let named = place
        .load_file(Some("named.yaml".into()))
        .expect("the named file");
    assert_eq!(named.config.pool.min_warm, 1);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let place = Place::new();
    let errors = place
        .load_file(Some("none.yaml".into()))
        .expect_err("no file");
    let text = errors.to_string();
    assert!(
        text.contains("none.yaml: there is no such file; check the path"),
        "{text}"
    );
    let place = place.var("CCPOOL_CONFIG", "/none.yaml");
    let text = place.load().expect_err("no file").to_string();
    assert!(text.contains("CCPOOL_CONFIG"), "{text}");
    let folder = place
        .load_file(Some(".".into()))
        .expect_err("a folder")
        .to_string();
    assert!(folder.contains("a folder, not a file"), "{folder}");
}

#[test]
fn paths_know_the_home_directory() {
    let place = Place::new();
    let home = place.folder.path().to_owned();
    assert_eq!(place.config().data_dir, home.join(".local/state/ccpool"));
    let place = place.var("XDG_STATE_HOME", "/state");
    assert_eq!(place.config().data_dir, Path::new("/state/ccpool"));
    let place = place
        .var("CCPOOL_DATADIR", "~/data")
        .var("CCPOOL_CLAUDE__PATH", "~/bin/claude");
    let config = place.config();
    assert_eq!(config.data_dir, home.join("data"));
    assert_eq!(config.claude.path, home.join("bin/claude"));
}
