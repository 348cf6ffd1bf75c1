//! A word as `sh` takes it for one word, whatever is in it.

/// In single quotes, in which nothing but their end has a meaning. It must hold no zero byte, which no
/// argument of a program can hold.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_are_plain_to_read() {
        for (word, wanted) in [
            ("", "''"),
            ("ls", "'ls'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            (r"a\", r"'a\'"),
            ("'", r"''\'''"),
            ("$HOME `id` !x", "'$HOME `id` !x'"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
    }

    /// The words that a shell makes of a line, each followed by a zero byte.
    fn words(shell: &str, line: &str) -> Vec<u8> {
        let script = format!(r"printf '%s\0' {line}");
        let output = Command::new(shell)
            .args(["-c", &script])
            .env_clear()
            .output();
        output.expect("a shell").stdout
    }

    proptest! {
        // Each case starts two shells.
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn a_real_shell_reads_what_was_given(
            given in prop::collection::vec(
                prop_oneof![
                    "[^\0]{0,12}",
                    r#"[\\'"$`!*?~#&;|<>(){} \n\r\t=-]{0,12}"#,
                ],
                1..6,
            ),
        ) {
            let line: Vec<String> = given.iter().map(|word| quoted(word)).collect();
            let wanted: Vec<u8> = given
                .iter()
                .flat_map(|word| word.bytes().chain([0]))
                .collect();
            for shell in ["sh", "bash"] {
                prop_assert_eq!(words(shell, &line.join(" ")), &wanted[..], "{}", shell);
            }
        }
    }
}
