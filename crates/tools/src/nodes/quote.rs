//! A word as a shell takes it for one word, whatever is in it.

/// Quotes it so that sh, bash, dash, zsh, ksh and fish read the same word. It must hold no zero byte,
/// which no argument of a program can hold.
///
/// A backslash and a single quote stand outside of the quotes, behind a backslash: in them fish
/// gives them a meaning that sh does not.
pub(super) fn quoted(word: &str) -> String {
    let mut all = String::with_capacity(word.len() + 2);
    let mut is_open = false;
    for c in word.chars() {
        let outside = matches!(c, '\\' | '\'');
        if outside == is_open {
            all.push('\'');
            is_open = !is_open;
        }
        if outside {
            all.push('\\');
        }
        all.push(c);
    }
    if is_open {
        all.push('\'');
    } else if all.is_empty() {
        all.push_str("''");
    }
    all
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
            (r"a\", r"'a'\\"),
            ("'", r"\'"),
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
