//! Markers in a prompt: `[[script:NAME]]` and `[[do: {scene}]]`.

use serde_json::Value;

const NAMED: &str = "[[script:";
const INLINE: &str = "[[do:";
const CLOSE: &str = "]]";

/// What a prompt asks the stand-in to play.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Marker {
    /// A scene of the script file or a built-in one.
    Named(String),
    /// A scene written in the prompt.
    Inline(Value),
    /// Looks like a marker but cannot be read; the reason.
    Broken(String),
}

/// The last marker of a text. Markers inside the JSON of another one do not count: they belong to
/// whoever is given that text.
pub(crate) fn last_marker(text: &str) -> Option<Marker> {
    let mut rest = text;
    let mut last = None;
    while let Some((marker, after)) = next_marker(rest) {
        last = Some(marker);
        rest = after;
    }
    last
}

fn next_marker(text: &str) -> Option<(Marker, &str)> {
    let named = text.find(NAMED);
    let inline = text.find(INLINE);
    match (named, inline) {
        (Some(start), other) if other.is_none_or(|other| start < other) => {
            let after = &text[start + NAMED.len()..];
            Some(match after.split_once(CLOSE) {
                Some((name, rest)) => (Marker::Named(name.trim().to_owned()), rest),
                None => (Marker::Broken("`[[script:` without `]]`".to_owned()), ""),
            })
        }
        (_, Some(start)) => Some(inline_marker(&text[start + INLINE.len()..])),
        (_, None) => None,
    }
}

fn inline_marker(after: &str) -> (Marker, &str) {
    let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => return (Marker::Broken(format!("`[[do:` {error}")), ""),
        None => return (Marker::Broken("`[[do:` without a scene".to_owned()), ""),
    };
    match after[values.byte_offset()..]
        .trim_start()
        .strip_prefix(CLOSE)
    {
        Some(rest) => (Marker::Inline(value), rest),
        None => (
            Marker::Broken("`[[do:` without `]]` after its JSON".to_owned()),
            "",
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_named_and_inline_markers() {
        assert_eq!(last_marker("plain [text] [[x]]"), None);
        assert_eq!(
            last_marker("go [[script: hello ]]"),
            Some(Marker::Named("hello".into()))
        );
        assert_eq!(
            last_marker(r#"x [[do: {"text":"a ]] b"} ]] y"#),
            Some(Marker::Inline(json!({"text": "a ]] b"})))
        );
    }

    #[test]
    fn the_last_top_level_marker_counts() {
        assert_eq!(
            last_marker("[[script:a]] [[script:b]]"),
            Some(Marker::Named("b".into()))
        );
        let nested = r#"[[do: {"text":"then [[script:inner]]"}]] bye"#;
        assert!(matches!(last_marker(nested), Some(Marker::Inline(_))));
    }

    #[test]
    fn unreadable_markers_are_told() {
        for text in [
            "[[script:a",
            "[[do:",
            "[[do: {]]",
            r#"[[do: {"text":"a"} ]"#,
        ] {
            assert!(
                matches!(last_marker(text), Some(Marker::Broken(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_inline_json_survives_its_surroundings(text in ".{0,40}", around in "[a-z ]{0,8}") {
            let scene = json!({ "text": text });
            let prompt = format!("{around}[[do:{scene}]]{around}");
            prop_assert_eq!(last_marker(&prompt), Some(Marker::Inline(scene)));
        }

        #[test]
        fn never_panics(text in "[\\[\\]{}\":a-z]{0,60}") {
            let _ = last_marker(&text);
        }
    }
}
