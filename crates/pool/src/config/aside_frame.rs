use figment::value::Value;
use serde_json::json;

use super::given::{Complaint, FromValue, schema, text};

/// How a client's software marks a message that it adds to a prompt and does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideFrame {
    /// What stands at the beginning of such a message.
    pub begin: String,
    /// What stands at its end.
    pub end: String,
}

impl AsideFrame {
    /// Whether a text is one such frame and nothing else, but for whitespace around it.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let inner = text.trim().strip_prefix(self.begin.as_str());
        let inner = inner.and_then(|inner| inner.strip_suffix(self.end.as_str()));
        // Between two frames somebody may have said something.
        inner.is_some_and(|inner| !inner.contains(self.end.as_str()))
    }

    pub(super) fn shown(&self) -> serde_json::Value {
        json!({"begin": self.begin, "end": self.end})
    }
}

impl FromValue for AsideFrame {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        const FORM: &str =
            "write {begin: \"<<<\", end: \">>>\"}, say, each a text that is not empty";
        let wrong = |what: String| Complaint::new(what, FORM);
        let given = value
            .as_dict()
            .ok_or_else(|| Complaint::not_kind(value, "a section with begin and end", FORM))?;
        if let Some(other) = given
            .keys()
            .find(|key| !["begin", "end"].contains(&key.as_str()))
        {
            return Err(wrong(format!("has the key {other:?}, which there is not")));
        }
        let mark = |key: &str| {
            let mark = given.get(key).and_then(text).map(str::trim);
            let mark = mark.filter(|mark| !mark.is_empty());
            mark.map(str::to_owned)
                .ok_or_else(|| wrong(format!("has no text for {key:?}")))
        };
        Ok(Self {
            begin: mark("begin")?,
            end: mark("end")?,
        })
    }
}

schema!(AsideFrame, {
    "type": "object",
    "properties": {
        "begin": { "type": "string", "pattern": "\\S" },
        "end": { "type": "string", "pattern": "\\S" },
    },
    "required": ["begin", "end"],
    "additionalProperties": false,
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn frame(keys: &[(&str, &str)]) -> Result<AsideFrame, Complaint> {
        let keys: BTreeMap<_, _> = keys.iter().copied().collect();
        AsideFrame::from_value(&Value::from(keys))
    }

    #[test]
    fn a_frame_holds_a_whole_text_and_no_more() {
        let frame = frame(&[("begin", " <<<"), ("end", ">>>\n")]).expect("a frame");
        for inside in ["<<<>>>", "<<<a\nb>>>", "\n <<< a > b >>>\n", "<<<a <<<b>>>"] {
            assert!(frame.holds(inside), "{inside:?}");
        }
        for outside in [
            "",
            "<<<",
            "<<>>>",
            "<<<a",
            "a>>>",
            "x <<<a>>>",
            "<<<a>>> and?",
            "<<<a>>> and what is this? <<<b>>>",
        ] {
            assert!(!frame.holds(outside), "{outside:?}");
        }
    }

    #[test]
    fn marks_that_are_one_text_do_not_share_it() {
        let frame = frame(&[("begin", "---"), ("end", "---")]).expect("a frame");
        assert!(frame.holds("--- a ---"));
        assert!(!frame.holds("----") && !frame.holds("---"));
    }

    #[test]
    fn what_is_no_frame() {
        for (wrong, said) in [
            (vec![], "has no text for \"begin\""),
            (vec![("begin", "<")], "has no text for \"end\""),
            (
                vec![("begin", "<"), ("end", " ")],
                "has no text for \"end\"",
            ),
            (vec![("start", "<")], "has the key \"start\""),
        ] {
            let complaint = frame(&wrong).expect_err("no frame");
            assert!(complaint.what.contains(said), "{}", complaint.what);
        }
        let complaint = AsideFrame::from_value(&Value::from("<<<")).expect_err("no frame");
        assert!(
            complaint.what.contains("not a section"),
            "{}",
            complaint.what
        );
    }
}
