//! `ccpool sessions permissions|allow|deny`.

use std::collections::BTreeMap;

use ccpool::Answer;
use ccpool_protocol::permission::Chosen;
use ccpool_protocol::{RequestId, SessionId};
use serde_json::{Map, Value};

use super::command::{Allow, Deny, Global};
use super::contact::{answer_by, listed_by};
use super::dialogue::tame;
use super::error::CliError;
use super::gateway_client::GatewayClient;
use super::output::print;
use super::table::{cell, table};

/// Longest input in the table, in characters.
const LONGEST_INPUT: usize = 80;

/// What a session asks.
pub(super) async fn list(
    global: &Global,
    client: &GatewayClient,
    session: &SessionId,
) -> Result<(), CliError> {
    let listed = listed_by(client, session).await?;
    if global.json {
        return print(format_args!("{listed:#}"));
    }
    let pending = listed["permissions"].as_array().into_iter().flatten();
    let rows: Vec<[String; 3]> = pending
        .map(|request| {
            let input = request["input"].to_string();
            let brief: String = input.chars().take(LONGEST_INPUT).collect();
            [
                cell(&request["requestId"]),
                tame(&cell(&request["name"])),
                tame(&brief),
            ]
        })
        .collect();
    print(table(["REQUEST", "TOOL", "INPUT"], &rows))
}

/// A yes.
pub(super) async fn allow(
    global: &Global,
    client: &GatewayClient,
    arguments: &Allow,
) -> Result<(), CliError> {
    let answer = Answer::Allow {
        input: arguments.input.as_deref().map(object).transpose()?,
        answers: answers(&arguments.answer)?,
        always: arguments.always,
    };
    tell(
        global,
        client,
        &arguments.session,
        &arguments.request,
        &answer,
    )
    .await
}

/// A no.
pub(super) async fn deny(
    global: &Global,
    client: &GatewayClient,
    arguments: &Deny,
) -> Result<(), CliError> {
    let answer = Answer::Deny {
        message: arguments.message.clone(),
        interrupt: arguments.interrupt,
    };
    tell(
        global,
        client,
        &arguments.session,
        &arguments.request,
        &answer,
    )
    .await
}

async fn tell(
    global: &Global,
    client: &GatewayClient,
    session: &SessionId,
    request: &RequestId,
    answer: &Answer,
) -> Result<(), CliError> {
    let told = answer_by(client, session, request, answer).await?;
    if global.json {
        print(format_args!("{told:#}"))
    } else if global.quiet {
        Ok(())
    } else {
        print(format_args!("{request} is {}", cell(&told["outcome"])))
    }
}

fn object(text: &str) -> Result<Map<String, Value>, CliError> {
    serde_json::from_str(text).map_err(|error| {
        CliError::usage(format!("--input is no JSON object: {error}"))
            .mend("write it as '{\"command\":\"ls\"}'")
    })
}

/// `question=chosen`, of which a question may have several.
fn answers(given: &[String]) -> Result<Option<BTreeMap<String, Chosen>>, CliError> {
    let mut answers: BTreeMap<String, Chosen> = BTreeMap::new();
    for pair in given {
        // A question may hold an equals sign; a label hardly does.
        let (question, chosen) = pair.rsplit_once('=').ok_or_else(|| {
            CliError::usage(format!("--answer {pair:?} has no `=`"))
                .mend("write it as 'Which colour?=Blue'")
        })?;
        let chosen = chosen.to_owned();
        let all = match answers.remove(question) {
            None => Chosen::One(chosen),
            Some(Chosen::One(first)) => Chosen::Several(vec![first, chosen]),
            Some(Chosen::Several(mut before)) => {
                before.push(chosen);
                Chosen::Several(before)
            }
        };
        answers.insert(question.to_owned(), all);
    }
    Ok((!answers.is_empty()).then_some(answers))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_by_question() {
        let given = ["A=b?=x", "C?=y", "C?=z"].map(str::to_owned);
        assert_eq!(
            json!(answers(&given).unwrap()),
            json!({"A=b?": "x", "C?": ["y", "z"]})
        );
        assert!(answers(&["nothing".to_owned()]).is_err());
        assert_eq!(answers(&[]).unwrap(), None);
        assert!(object("[1]").is_err());
    }
}
