//! Files that are no configuration are explained and never bring the program down.

use ccpool::config::{Config, KeyPath};
use proptest::prelude::*;

use crate::place::{Place, said, yaml};

#[test]
fn files_that_are_no_configuration() {
    for (bytes, line, what) in [
        (&b"pool:\n  minWarm: [1\nimage: x\n"[..], Some(3), "no YAML"),
        (b"pool: {}\nimage: \"x\n", Some(3), "no YAML"),
        (b"a: 1\nb: \xff\n", Some(2), "not UTF-8"),
        (b"- a\n- b\n", Some(1), "a list, not a section"),
        (b"just text", Some(1), "a text, not a section"),
        (b"a: 1\n---\nb: 2\n", None, "no YAML"),
    ] {
        let place = Place::new().file("ccpool.yaml", bytes);
        let errors = place.load().expect_err("a problem");
        let problem = &errors.problems()[0];
        assert!(problem.what.contains(what), "{errors}");
        assert_eq!(problem.path, KeyPath::ROOT);
        assert!(
            problem
                .file()
                .is_some_and(|file| file.ends_with("ccpool.yaml"))
        );
        if line.is_some() {
            assert_eq!(problem.line(), line, "{errors}");
        }
    }
    for empty in ["", "\n", "# nothing\n", "---\n", "{}", "pool:\nagents:\n"] {
        assert_eq!(
            yaml(empty).config().pool,
            Config::default().pool,
            "{empty:?}"
        );
    }
}

#[test]
fn depth_and_aliases_have_limits() {
    let alias_bomb = (1..60).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)
    });
    for text in [
        "[".repeat(200_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        format!("{}1", "a:\n ".repeat(100_000)),
        alias_bomb,
    ] {
        assert!(yaml(&text).load().is_err(), "{}", &text[..40]);
    }
}

#[test]
fn a_broken_file_does_not_hide_the_environment() {
    let said = said(&yaml("pool: [").var("CCPOOL_POOL__MAXTOTAL", "0"));
    assert_eq!(said.len(), 2);
    assert!(said[1].starts_with("CCPOOL_POOL__MAXTOTAL pool.maxTotal | "));
}

fn assert_loads_or_names_paths(bytes: &[u8]) {
    let place = Place::new().file("ccpool.yaml", bytes);
    if let Err(errors) = place.load() {
        assert!(!errors.problems().is_empty());
        for problem in errors.problems() {
            assert!(problem.to_string().contains("ccpool.yaml"), "{problem}");
            assert!(!problem.path.to_string().is_empty() && !problem.mend.is_empty());
            assert!(problem.line() != Some(0), "{problem}");
        }
    }
}

/// Text that gets past the parser more often than noise does.
fn almost_yaml() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "pool",
        "minWarm",
        "agents",
        "defaults",
        "dockerClaudeCode",
        "model",
        "env",
        "docker",
        "claude",
        "redis",
        "url",
        "resources",
        "memory",
        "timeouts",
        "idleMs",
        "<<",
        "?",
        "\"a.b\"",
    ]);
    let value = prop::sample::select(vec![
        "",
        "1",
        "-1",
        "1e999",
        ".nan",
        "~",
        "off",
        "4g",
        "[1, {a: b}]",
        "{x: }",
        "&a b",
        "*a",
        "!!binary x",
        "!t {}",
        "|",
        "'",
        "99999999999999999999999999999999999999999",
        "\u{feff}",
    ]);
    let line =
        (0..5_usize, key, value).prop_map(|(n, k, v)| format!("{}{k}: {v}\n", "  ".repeat(n)));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_load_or_are_explained(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        assert_loads_or_names_paths(&bytes);
    }

    #[test]
    fn any_text_loads_or_is_explained(text in "[ -~\n]{0,200}") {
        assert_loads_or_names_paths(text.as_bytes());
    }

    #[test]
    fn almost_any_configuration_loads_or_is_explained(text in almost_yaml()) {
        assert_loads_or_names_paths(text.as_bytes());
    }

    #[test]
    fn any_variable_is_taken_or_explained(name in "CCPOOL_[A-Za-z_]{0,30}", text in "\\PC{0,40}") {
        if let Err(errors) = Place::new().var(&name, &text).load() {
            for problem in errors.problems() {
                prop_assert!(problem.to_string().contains(&name), "{}", problem);
            }
        }
    }
}
