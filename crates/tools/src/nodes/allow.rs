//! Which commands may be run.

use ccpool::config::CommandPattern;

/// Whether a pattern allows these words.
pub(super) fn allows(patterns: &[CommandPattern], words: &[String]) -> bool {
    patterns.iter().any(|pattern| matches(pattern, words))
}

fn matches(pattern: &CommandPattern, words: &[String]) -> bool {
    let wanted = pattern.words();
    let enough = words.len() == wanted.len() || (pattern.is_open() && words.len() > wanted.len());
    enough
        && wanted
            .iter()
            .zip(words)
            .all(|(pattern, word)| word_matches(pattern, word))
}

/// `*` stands for any letters, but it opens nothing that its author has not seen: no space and no
/// control character, no slash and no `..` (another folder), and no `-` at the beginning (an option).
fn word_matches(pattern: &str, word: &str) -> bool {
    let Some((head, _)) = pattern.split_once('*') else {
        return pattern == word;
    };
    let becomes_option = head.is_empty() && word.starts_with('-');
    let climbs =
        word.split('/').any(|part| part == "..") && !pattern.split('/').any(|part| part == "..");
    !becomes_option && !climbs && letters_match(pattern, word)
}

/// In steps of at most pattern times word, whatever they are.
fn letters_match(pattern: &str, word: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let word: Vec<char> = word.chars().collect();
    let (mut p, mut w) = (0, 0);
    // Where the last star stands, and how far it has reached.
    let mut star: Option<(usize, usize)> = None;
    while w < word.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, w));
            p += 1;
        } else if pattern.get(p) == Some(&word[w]) {
            (p, w) = (p + 1, w + 1);
        } else if let Some((at, reached)) = star
            && may_stand_for(word[reached])
        {
            star = Some((at, reached + 1));
            (p, w) = (at + 1, reached + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn may_stand_for(c: char) -> bool {
    !(c.is_whitespace() || c.is_control() || c == '/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(patterns: &[&str], words: &[&str]) -> bool {
        let patterns: Vec<CommandPattern> = patterns.iter().map(|p| p.parse().unwrap()).collect();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        allows(&patterns, &words)
    }

    #[test]
    fn words_are_matched_one_by_one() {
        let patterns = [
            "uptime",
            "systemctl status *",
            "journalctl -u web ** ",
            "tail -n * /var/log/*.log",
        ];
        for words in [
            &["uptime"][..],
            &["systemctl", "status", "web.service"],
            &["systemctl", "status", ""],
            &["journalctl", "-u", "web"],
            &["journalctl", "-u", "web", "--since", "1 hour ago"],
            &["tail", "-n", "20", "/var/log/web.log"],
        ] {
            assert!(allowed(&patterns, words), "{words:?}");
        }
        for words in [
            &[][..],
            &["uptime", "-p"],
            &["uptime "],
            &["/usr/bin/uptime"],
            &["systemctl"],
            &["systemctl", "status"],
            &["systemctl status web"],
            &["systemctl", "status", "a", "b"],
            &["systemctl", "status", "a b"],
            &["systemctl", "status", "a\nb"],
            &["systemctl", "stop", "web"],
            &["systemctl", "status", "--host=elsewhere"],
            &["journalctl", "-u", "web2"],
            &["tail", "-n", "20", "/var/log/../../etc/secret.log"],
            &["tail", "-n", "20", "/var/log/private/x.log"],
            &["tail", "-n", "20", "/etc/shadow"],
            &["tail", "-n", "-f", "/var/log/web.log"],
            &["sh", "-c", "uptime"],
        ] {
            assert!(!allowed(&patterns, words), "{words:?}");
        }
    }

    #[test]
    fn no_pattern_allows_nothing() {
        assert!(!allowed(&[], &["true"]));
        assert!(!allowed(&["*"], &[]));
    }

    #[test]
    fn a_pattern_may_name_what_a_star_does_not_open() {
        assert!(allowed(&["ls -*"], &["ls", "-la"]));
        assert!(allowed(&["cat ../*"], &["cat", "../a"]));
        assert!(!allowed(&["cat *"], &["cat", ".."]));
        assert!(allowed(&["cat /srv/*/*"], &["cat", "/srv/a/b"]));
        assert!(!allowed(&["cat /srv/*/*"], &["cat", "/srv/../b"]));
        assert!(allowed(&["make **"], &["make", "-C", "/any/where", "a b"]));
    }

    /// What it should do, said in another way.
    fn slowly(pattern: &[char], word: &[char]) -> bool {
        match (pattern, word) {
            ([], []) => true,
            (['*', rest @ ..], word) => {
                slowly(rest, word)
                    || word
                        .split_first()
                        .is_some_and(|(c, tail)| may_stand_for(*c) && slowly(pattern, tail))
            }
            ([p, rest @ ..], [w, tail @ ..]) => p == w && slowly(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_are_what_they_should_be(pattern in "[ab*/ ]{0,8}", word in "[ab*/ ]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            prop_assert_eq!(
                letters_match(&pattern, &word),
                slowly(&chars(&pattern), &chars(&word))
            );
        }

        #[test]
        fn without_a_star_only_itself_is_allowed(
            command in prop::collection::vec("[!-)+-~]{1,5}", 1..4),
            words in prop::collection::vec("[!-)+-~]{1,5}", 1..4),
        ) {
            let pattern: CommandPattern = command.join(" ").parse().unwrap();
            prop_assert_eq!(matches(&pattern, &words), command == words);
            prop_assert!(matches(&pattern, &command));
        }
    }

    #[test]
    fn many_stars_cost_little() {
        let pattern = "*a".repeat(200);
        assert!(!letters_match(
            &pattern,
            &format!("{}b", "a".repeat(20_000))
        ));
    }
}
