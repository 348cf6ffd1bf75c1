//! What a cron expression may look like, so that what is misspelt is told and not guessed at.

/// No expression that says something is longer.
const LONGEST: usize = 100;
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A field's name, the words in it, and what may follow a number or a word.
struct Field {
    name: &'static str,
    words: &'static [&'static str],
    endings: &'static [char],
}

const FIELDS: [Field; 5] = [
    Field::plain("minute"),
    Field::plain("hour"),
    Field {
        name: "day of the month",
        words: &["L"],
        endings: &['W'],
    },
    Field {
        name: "month",
        words: &MONTHS,
        endings: &[],
    },
    Field {
        name: "day of the week",
        words: &DAYS,
        endings: &['L'],
    },
];

impl Field {
    const fn plain(name: &'static str) -> Self {
        Self {
            name,
            words: &[],
            endings: &[],
        }
    }

    /// Whether it is made of `*`, numbers and its own words.
    fn takes(&self, text: &str) -> bool {
        let mut separators: Vec<char> = vec![',', '-', '/'];
        if self.words == DAYS {
            separators.push('#');
        }
        text.split(separators.as_slice()).all(|part| {
            let stem = part.strip_suffix(self.endings).unwrap_or(part);
            let is_number =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let is_word = |text: &str| self.words.iter().any(|w| w.eq_ignore_ascii_case(text));
            part == "*" || is_word(part) || is_number(stem) || (stem != part && is_word(stem))
        })
    }
}

/// The expression with single spaces, if it has five fields of what may be in them.
///
/// # Errors
/// What is wrong, in words that follow "the schedule".
pub(super) fn tidy(expression: &str) -> Result<String, String> {
    if expression.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} characters"));
    }
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "has {} fields and needs five: minute, hour, day of the month, month, day of the week",
            fields.len()
        ));
    }
    match FIELDS
        .iter()
        .zip(&fields)
        .find(|(field, text)| !field.takes(text))
    {
        Some((field, text)) => Err(format!("has `{text}` as its {}", field.name)),
        None => Ok(fields.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_of_numbers_and_names() {
        for (given, tidied) in [
            ("* * * * *", "* * * * *"),
            ("  0   7 * *  1-5 ", "0 7 * * 1-5"),
            (
                "*/15 0,6-9/2 L jan,MAR-Dec fri",
                "*/15 0,6-9/2 L jan,MAR-Dec fri",
            ),
            ("0 9 15W * MON#1", "0 9 15W * MON#1"),
            ("0 9 * * 5L", "0 9 * * 5L"),
        ] {
            assert_eq!(tidy(given).as_deref(), Ok(tidied));
        }
    }

    #[test]
    fn anything_else_is_told() {
        for (given, told) in [
            ("", "has 0 fields"),
            ("0 0 * *", "has 4 fields"),
            ("0 0 0 * * *", "has 6 fields"),
            ("@daily", "has 1 fields"),
            ("0 MON * * *", "`MON` as its hour"),
            ("x * * * *", "`x` as its minute"),
            ("0 0 * 1FEB *", "`1FEB` as its month"),
            ("0 0 ? * *", "`?` as its day of the month"),
            ("0 0 1 * +MON", "`+MON` as its day of the week"),
            ("0 0 1,, * *", "`1,,` as its day of the month"),
            ("0 0 * * ７", "`７` as its day of the week"),
            ("0 0 * * L", "`L` as its day of the week"),
        ] {
            let said = tidy(given).unwrap_err();
            assert!(said.contains(told), "{given}: {said}");
        }
        assert!(tidy(&"1".repeat(101)).unwrap_err().contains("longer"));
    }
}
