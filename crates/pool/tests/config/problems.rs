//! What is said about values that are wrong, and what is never said.

use ccpool::config::{Loaded, SearchEngine};

use crate::place::{said, yaml};

#[test]
fn an_unknown_key_names_the_nearest_one() {
    let place = yaml(
        "pool:\n  minwarm: 2\nminWarm: 3\nredis: {uri: x}\nwhatever: 1\ntimeouts:\n  idle: 5\n",
    );
    let said = said(&place);
    assert_eq!(
        said[..3],
        [
            "2 pool.minwarm | unknown key `pool.minwarm`; did you mean `minWarm`?",
            "3 minWarm | unknown key `minWarm`; did you mean `pool.minWarm`?",
            "4 redis.uri | unknown key `redis.uri`; did you mean `url`?",
        ]
    );
    assert!(said[3].starts_with("5 whatever | unknown key `whatever`; the keys here are agents, "));
    assert!(said[4].starts_with("7 timeouts.idle | unknown key `timeouts.idle`; did you mean `"));
    assert_eq!(said.len(), 5);
}

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let place = yaml(
        "pool:
  minWarm: -1
  maxPerAgent: 0
  maxTotal: three
resources:
  memory: 4gigs
  cpus: 0
timeouts:
  idleMs: 5 minutes
  idleMs: 6
redis: 5
docker:
  binds: [/a]
  env: {1X: a}
runtime: dokcer
model:
  primary: opus
  fallbacks:
    - antropic/b
    - openai/c
    - sonnet
permissions: {mode: bypassPermissions}
agents: {defaults: {pool: 1}}
enabled: maybe
",
    )
    .var("CCPOOL_POOL__MINWRM", "2")
    .var("CCPOOL_TIMEOUTS__STALLMS", "soon")
    .flag("http.listen", "nowhere");
    insta::assert_snapshot!(said(&place).join("\n"), @r#"
2 pool.minWarm | `pool.minWarm` is -1, and must be at least 0; write a whole number from 0
3 pool.maxPerAgent | `pool.maxPerAgent` is 0, and must be at least 1; write a whole number from 1
4 pool.maxTotal | `pool.maxTotal` is the text "three", not a whole number; write a whole number from 1
6 resources.memory | `resources.memory` is the text "4gigs", not an amount of memory; write it as 4g, 512m, 1.5g, 4GiB or a number of bytes
7 resources.cpus | `resources.cpus` is 0, no usable number of CPUs; write a number of CPUs from 0.01 to 1024, such as 2 or 0.5
9 timeouts.idleMs | `timeouts.idleMs` is the text "5 minutes", not a whole number of milliseconds; write 300000
10 timeouts.idleMs | `timeouts.idleMs` stands in line 9 already; keep one of the two
11 redis | `redis` is a number, not a section; write its keys indented below it
13 docker.binds[0] | `docker.binds[0]` is the text "/a", not a volume bind; write /on/the/host:/in/the/container, with :ro at the end if read-only
14 docker.env.1X | `docker.env.1X` is named "1X", which no environment variable can be; use letters, digits and _, and do not begin with a digit
15 runtime | `runtime` is "dokcer", not one of docker, process; did you mean `docker`?
17 model.primary | `model.primary` is the text "opus", not of the form provider/model; write provider/model, such as docker-claude-code/opus
19 model.fallbacks[0] | `model.fallbacks[0]` names the provider "antropic", which is none; did you mean `anthropic/b`?
20 model.fallbacks[1] | `model.fallbacks[1]` names the provider "openai", which is none; write one of docker-claude-code, claude-cli, anthropic before the slash
21 model.fallbacks[2] | `model.fallbacks[2]` is the text "sonnet", not of the form provider/model; write provider/model, such as docker-claude-code/opus
22 permissions.mode | `permissions.mode` is "bypassPermissions", not one of default, acceptEdits, plan, dontAsk; set `skipPermissions: true` instead
23 agents.defaults | `agents.defaults` belongs to Clawdbot's form of the file, which keeps the options in `agents.defaults.dockerClaudeCode`; move the options there, or write `model` at the top
24 enabled | `enabled` is the text "maybe", not a truth value; write true or false
CCPOOL_POOL__MINWRM pool.minwrm | no key belongs to the variable `CCPOOL_POOL__MINWRM`; did you mean `CCPOOL_POOL__MINWARM`?
CCPOOL_TIMEOUTS__STALLMS timeouts.stallMs | `timeouts.stallMs` is the text "soon", not a whole number of milliseconds; write milliseconds as a plain number, 300000 for five minutes
--set http.listen http.listen | `http.listen` is the text "nowhere", not an address with a port; write address:port, such as 127.0.0.1:18789 or [::1]:18789
"#);
}

#[test]
fn wrong_units_name_the_accepted_forms() {
    for (text, form) in [
        (
            "resources: {memory: 4 potatoes}",
            "4g, 512m, 1.5g, 4GiB or a number of bytes",
        ),
        (
            "resources: {memory: -4}",
            "4g, 512m, 1.5g, 4GiB or a number of bytes",
        ),
        (
            "resources: {memory: 1k}",
            "4g, 512m, 1.5g, 4GiB or a number of bytes",
        ),
        ("resources: {cpus: -1}", "a number of CPUs from 0.01"),
        ("resources: {pidsLimit: 2.5}", "a whole number from 1"),
        ("timeouts: {idleMs: 5 minutes}", "write 300000"),
        ("timeouts: {idleMs: soon}", "milliseconds as a plain number"),
        ("timeouts: {idleMs: 0}", "a whole number from 1"),
        (
            "redis: {outputBuffer: 99999999}",
            "a whole number from 1 to 1000000",
        ),
        ("redis: {acl: maybe}", "write one of these words"),
        ("docker: {capDrop: ALL}", "write [one, two]"),
        ("docker: {env: [A=b]}", "write its keys indented below it"),
        ("docker: {env: {A: }}", "\"\" for an empty value"),
    ] {
        let said = said(&yaml(text));
        assert!(
            said.len() == 1 && said[0].contains(form),
            "{text}: {said:?}"
        );
    }
}

#[test]
fn more_warm_than_total_is_said_where_it_was_written() {
    let said_of = |text| said(&yaml(text));
    assert_eq!(
        said_of("pool:\n  minWarm: 11\n"),
        [
            "2 pool.minWarm | `pool.minWarm` does not fit: `pool.minWarm` is 11, more than \
          `pool.maxTotal`, which is 10; lower minWarm to 10 or raise maxTotal to 11"
        ]
    );
    assert_eq!(yaml("pool: {minWarm: 10}").config().pool.min_warm, 10);
}

/// The CLI would read the file alone, and ask about nothing.
#[test]
fn settings_in_a_file_do_not_push_ask_rules_aside_in_silence() {
    let arguments = "claude: {extraArgs: [--settings, /etc/x.json]}\n";
    let said = said(&yaml(&format!(
        "{arguments}permissions: {{ask: [WebFetch]}}\n"
    )));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("1 claude.extraArgs[1] | ") && said[0].contains("permissions.ask"),
        "{said:?}"
    );
    assert!(yaml(arguments).load().is_ok());
}

#[test]
fn listening_to_the_world_takes_a_token() {
    let open = yaml("http:\n  listen: 0.0.0.0:18789\n");
    let said = said(&open);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("2 http.listen | ") && said[0].contains("CCPOOL_HTTP__TOKEN"));
    let closed = open.var("CCPOOL_HTTP__TOKEN", "12345").config();
    assert_eq!(closed.http.token.expect("a token").expose(), "12345");
    for inside in ["127.0.0.2:1", "'[::1]:1'", "localhost:1"] {
        assert!(
            yaml(&format!("http: {{listen: {inside}}}")).load().is_ok(),
            "{inside}"
        );
    }
}

#[test]
fn secrets_are_never_shown() {
    let place = yaml(
        "redis: {url: 'redis://u:hunter2@host', containerUrl: 'redis://:hunter2@c'}
http: {token: hunter2}
claude: {env: {ANTHROPIC_API_KEY: hunter2}}
docker: {env: {X: hunter2}}
tools: {webSearch: {provider: brave, apiKey: hunter2}}
",
    );
    let Loaded { config, sources } = place.load().expect("a configuration");
    let shown = config.to_redacted_json();
    assert_eq!(shown["http"]["token"], "***");
    assert_eq!(shown["claude"]["env"]["ANTHROPIC_API_KEY"], "***");
    assert_eq!(shown["redis"]["url"], "redis://***@host");
    assert_eq!(shown["tools"]["webSearch"]["apiKey"], "***");
    for text in [
        shown.to_string(),
        format!("{config:?}"),
        format!("{sources:?}"),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }

    let wrong = yaml(
        "redis: {url: 'redis://u:hunter2@', containerUrl: hunter2}
http: {token: hunter2 hunter2}
claude: {env: hunter2}
docker: {env: [hunter2], gatewayUrl: 'http://u:hunter2@x', host: 'tcp://u:hunter2@x'}
agents: {a: hunter2}
tools: {webSearch: {apiKey: hunter2 hunter2, baseUrl: 'http://u:hunter2@x'}}
",
    )
    .var("CCPOOL_CLAUDE__ENV__A=B", "hunter2")
    .var("CCPOOL_DOCKER__ENV", "{A=hunter2, B=hunter2: 1}")
    .var("CCPOOL_MODEL", "hunter2")
    .flag("redis.url", "http://hunter2@x");
    let errors = wrong.load().expect_err("problems");
    assert!(errors.problems().len() >= 13, "{errors}");
    for text in [
        errors.to_string(),
        format!("{errors:?}"),
        serde_json::to_string(&errors).expect("JSON"),
        format!("{:?}", wrong.flags),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_search_provider_is_told_what_it_lacks() {
    for (provider, said) in [
        (
            "brave",
            "tools.webSearch.apiKey | `tools.webSearch.apiKey` is missing, and `brave` needs it; set it \
             to the key that the provider gave you (CCPOOL_TOOLS__WEBSEARCH__APIKEY)",
        ),
        (
            "tavily",
            "tools.webSearch.apiKey | `tools.webSearch.apiKey` is missing, and `tavily` needs it; set it \
             to the key that the provider gave you (CCPOOL_TOOLS__WEBSEARCH__APIKEY)",
        ),
        (
            "searxng",
            "tools.webSearch.baseUrl | `tools.webSearch.baseUrl` is missing, and `searxng` needs it; set \
             it to your instance, http://host:port",
        ),
    ] {
        let problems = self::said(&yaml(&format!(
            "tools: {{webSearch: {{provider: {provider}}}}}"
        )));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].ends_with(said), "{problems:?}");
    }
    let place = yaml("tools: {webSearch: {provider: searxng, baseUrl: 'http://s:8080/'}}");
    let search = place
        .load()
        .expect("a configuration")
        .config
        .tools
        .web_search;
    assert!(
        matches!(&search.engine, Some(SearchEngine::Searxng { base_url, api_key: None })
            if base_url.as_str() == "http://s:8080")
    );
}
