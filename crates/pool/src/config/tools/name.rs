use crate::config::given::{Complaint, quoted};

/// Longer names are no help to a model.
const LONGEST: usize = 64;

/// `None` if agents can be told this name of a channel or node.
pub(super) fn name_complaint(name: &str) -> Option<Complaint> {
    let is_usable = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= LONGEST
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    (!is_usable).then(|| {
        let what = format!("is named {}, which agents could not write", quoted(name));
        let mend = format!(
            "begin with a letter or digit, use only letters, digits, _ . - and at most {LONGEST}"
        );
        Complaint::new(what, mend)
    })
}
