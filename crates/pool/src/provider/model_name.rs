//! Which model a conversation is for, by the name that its client gives.

use ccpool_protocol::FailureKind;

use super::error::Refused;

/// What stands before the slash in names of the pool's models.
pub(super) const PROVIDER: &str = "docker-claude-code";

/// Aliases that the CLI resolves itself.
pub(super) const ALIASES: [&str; 3] = ["opus", "sonnet", "haiku"];

/// The model's own name: an alias or a full id.
///
/// # Errors
/// `InvalidRequest` for an empty name and one of another provider's.
pub(super) fn own(name: &str) -> Result<&str, Refused> {
    let model = match name.split_once('/') {
        Some((PROVIDER, model)) => model,
        Some((other, _)) => {
            return Err(invalid(format!(
                "`{name}` is a model of `{other}`, and this is `{PROVIDER}`: ask for \
                 `{PROVIDER}/opus`, say"
            )));
        }
        None => name,
    };
    if model.trim().is_empty() {
        return Err(invalid(format!(
            "`{name}` names no model: ask for `{PROVIDER}/opus`, say"
        )));
    }
    Ok(model)
}

fn invalid(message: String) -> Refused {
    Refused::new(FailureKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_ids_and_names_with_the_provider() {
        assert_eq!(own("opus").unwrap(), "opus");
        assert_eq!(own("docker-claude-code/opus").unwrap(), "opus");
        let id = "claude-opus-4-1-20250805";
        assert_eq!(own(id).unwrap(), id);
        assert_eq!(own("docker-claude-code/a/b").unwrap(), "a/b");
    }

    #[test]
    fn names_of_others_and_no_names_are_refused() {
        for bad in ["anthropic/opus", "/opus", "", " ", "docker-claude-code/"] {
            let refused = own(bad).unwrap_err();
            assert_eq!(refused.kind, FailureKind::InvalidRequest, "{bad}");
            assert!(refused.message.contains("docker-claude-code/opus"));
        }
    }
}
