//! The built-in default scene: a model that remembers facts told in the same conversation.
//!
//! It reads only the history inside the request, so a remembered fact proves that the process
//! behind the conversation kept it.

/// The answer to the last prompt, given everything the user wrote so far (oldest first).
pub(crate) fn answer(prompts: &[&str]) -> String {
    let Some(newest) = prompts.last() else {
        return "You have not said anything.".to_owned();
    };
    if let Some(question) = question(newest) {
        let known = prompts
            .iter()
            .rev()
            .flat_map(|prompt| facts(prompt))
            .find(|fact| {
                fact.owner == question.owner && fact.thing.eq_ignore_ascii_case(&question.thing)
            });
        match (known, question.owner) {
            (Some(fact), _) => return format!("{}.", capitalised(&fact.told_back())),
            (None, Owner::User) => return "You have not told me.".to_owned(),
            (None, Owner::Nobody) => {}
        }
    }
    let told: Vec<_> = facts(newest).iter().map(Fact::told_back).collect();
    if told.is_empty() {
        let start: String = newest.chars().take(200).collect();
        format!("You said: {start}")
    } else {
        format!("Got it: {}. I will remember it.", told.join(", and "))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// "my ..."
    User,
    /// "the ..."
    Nobody,
}

struct Fact {
    owner: Owner,
    thing: String,
    verb: &'static str,
    value: String,
}

impl Fact {
    fn told_back(&self) -> String {
        let owner = match self.owner {
            Owner::User => "your",
            Owner::Nobody => "the",
        };
        format!("{owner} {} {} {}", self.thing, self.verb, self.value)
    }
}

struct Question {
    owner: Owner,
    thing: String,
}

/// The statements of a prompt: "my X is Y", and "the X is Y" if it asks to remember.
fn facts(prompt: &str) -> Vec<Fact> {
    let remember = prompt.to_ascii_lowercase().contains("remember");
    sentences(prompt)
        .filter(|sentence| !sentence.ends_with('?'))
        .filter_map(|sentence| fact(sentence.trim_end_matches(['.', '!'])))
        .filter(|fact| fact.owner == Owner::User || remember)
        .collect()
}

fn fact(sentence: &str) -> Option<Fact> {
    let (owner, rest) = owned(sentence)?;
    let (thing, verb, value) = [(" is ", "is"), (" are ", "are")]
        .into_iter()
        .filter_map(|(between, verb)| {
            let (thing, value) = rest.split_once(between)?;
            Some((thing.trim(), verb, value.trim()))
        })
        .min_by_key(|(thing, _, _)| thing.len())?;
    // A longer subject is a sentence about something else.
    let words = thing.split_whitespace().count();
    ((1..=5).contains(&words) && !value.is_empty()).then(|| Fact {
        owner,
        thing: thing.to_owned(),
        verb,
        value: value.to_owned(),
    })
}

fn question(prompt: &str) -> Option<Question> {
    let sentence = sentences(prompt)
        .filter(|sentence| sentence.ends_with('?'))
        .last()?;
    let (owner, thing) = owned(sentence.trim_end_matches('?'))?;
    Some(Question {
        owner,
        thing: thing.trim().to_owned(),
    })
}

/// What follows the first "my", or else the first "the".
fn owned(sentence: &str) -> Option<(Owner, &str)> {
    let lower = sentence.to_ascii_lowercase();
    [(Owner::User, "my "), (Owner::Nobody, "the ")]
        .into_iter()
        .find_map(|(owner, word)| {
            let start = lower
                .match_indices(word)
                .map(|(start, _)| start)
                .find(|start| {
                    lower[..*start]
                        .chars()
                        .next_back()
                        .is_none_or(|before| !before.is_alphanumeric())
                })?;
            // Only ASCII letters change in lower case here, so positions agree.
            Some((owner, &sentence[start + word.len()..]))
        })
}

/// Sentences with their end mark; a full stop inside a word or number ends nothing.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .find(|(at, mark)| {
                let next = rest[at + mark.len_utf8()..].chars().next();
                *mark == '\n'
                    || (matches!(mark, '.' | '!' | '?') && next.is_none_or(char::is_whitespace))
            })
            .map_or(rest.len(), |(at, mark)| at + mark.len_utf8());
        let (sentence, after) = rest.split_at(end);
        rest = after;
        Some(sentence.trim_end())
    })
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAL: &str = "My favourite colour is teal. Remember it.";

    #[test]
    fn a_fact_is_acknowledged_and_remembered() {
        assert_eq!(
            answer(&[TEAL]),
            "Got it: your favourite colour is teal. I will remember it."
        );
        let asked = "What is my favourite colour?";
        assert_eq!(
            answer(&[TEAL, "Hello", asked]),
            "Your favourite colour is teal."
        );
        assert_eq!(answer(&[asked]), "You have not told me.");
    }

    #[test]
    fn the_newest_fact_wins_and_case_does_not_matter() {
        let prompts = [
            TEAL,
            "MY Favourite Colour is red!",
            "Do you know my favourite colour?",
        ];
        assert_eq!(answer(&prompts), "Your Favourite Colour is red.");
    }

    #[test]
    fn several_facts_and_facts_beside_the_question() {
        assert_eq!(
            answer(&["My name is Kim. My pets are two cats."]),
            "Got it: your name is Kim, and your pets are two cats. I will remember it."
        );
        assert_eq!(
            answer(&["My version is 3.14.\nWhat's my version?"]),
            "Your version is 3.14."
        );
    }

    #[test]
    fn other_things_need_the_word_remember() {
        let told = "Remember that the code word is heron.";
        assert_eq!(
            answer(&[told, "What is the code word?"]),
            "The code word is heron."
        );
        assert_eq!(answer(&["The sky is blue."]), "You said: The sky is blue.");
        assert_eq!(
            answer(&["What is the time?"]),
            "You said: What is the time?"
        );
    }

    #[test]
    fn anything_else_is_echoed_up_to_200_characters() {
        assert_eq!(answer(&["Hello there"]), "You said: Hello there");
        let long = "ä".repeat(300);
        assert_eq!(answer(&[&long]), format!("You said: {}", "ä".repeat(200)));
        assert_eq!(answer(&["Enemy is near"]), "You said: Enemy is near");
    }
}
