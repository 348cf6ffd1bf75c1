use std::fmt::Write as _;
use std::time::Duration;

use ccpool::config::{Config, Node};
use schemars::JsonSchema;
use serde::Deserialize;

use super::allow::allows;
use super::command::command;
use super::known::Nodes;
use super::ssh::{self, End, Run};
use crate::{Answer, Call, Caller, Effect, Refusal, Tool};

/// `nodes_exec`: runs a command on another machine.
#[derive(Debug, Clone)]
pub struct NodesExec {
    nodes: Nodes,
}

impl NodesExec {
    /// On those of `tools.nodes` in the configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            nodes: Nodes::of(config),
        }
    }
}

/// What is run where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WhatWhere {
    /// The node's name, as `nodes_list` shows it.
    node: String,
    /// The program and its arguments, each a word of its own, such as `["systemctl", "status",
    /// "web"]`. There is no shell: pipes, `>`, `;`, `*` and `$` mean nothing.
    command: Vec<String>,
    /// Text that the command reads from its stdin; none when left out.
    stdin: Option<String>,
    /// How long it may run, in milliseconds; as long as the node allows when left out.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
}

impl Tool for NodesExec {
    type Arguments = WhatWhere;
    const NAME: &'static str = "nodes_exec";
    const DESCRIPTION: &'static str = "Run a command on another machine (a node) and read its exit \
        code, stdout and stderr. Only commands that the node allows can be run; nodes_list shows \
        which. Of a long output the beginning and the end are kept.";
    const EFFECT: Effect = Effect::Destroys;

    async fn call(&self, what: WhatWhere, call: Call) -> Result<Answer, Refusal> {
        let WhatWhere {
            node: name,
            command: words,
            stdin,
            timeout_ms,
        } = what;
        let node = self.nodes.get(&name, &call.caller.agent)?;
        let command = command(&words, stdin.as_deref())?;
        if !allows(&node.allow, &words) {
            return Err(forbidden(&name, node));
        }
        let limit = timeout_ms.map_or(node.timeout, Duration::from_millis);
        if limit > node.timeout || limit.is_zero() {
            return Err(Refusal::new(format!(
                "`timeoutMs` must be from 1 to {}, which is what the node `{name}` allows.",
                node.timeout.as_millis()
            )));
        }
        let Caller { session, agent, .. } = &call.caller;
        // Not the words: they may hold what nobody should read in a log.
        tracing::info!(%session, %agent, node = name, "a command runs on a node");
        let run = ssh::run(node, &command, limit).await.map_err(|error| {
            tracing::warn!(%error, node = name, "ssh cannot be run");
            Refusal::new(
                "The gateway cannot run `ssh`; nothing was run. A person must install OpenSSH's \
                 client where the gateway runs.",
            )
        })?;
        told(&name, limit, &run)
    }
}

fn forbidden(name: &str, node: &Node) -> Refusal {
    if node.allow.is_empty() {
        return Refusal::new(format!(
            "Nothing may be run on the node `{name}`: its list `tools.nodes.{name}.allow` in the \
             gateway's configuration is empty."
        ));
    }
    let patterns: Vec<String> = node.allow.iter().map(|p| format!("`{p}`")).collect();
    Refusal::new(format!(
        "The node `{name}` does not allow this command. It allows {}. In these `*` stands for \
         letters of one word, but for no space, slash or `..`, and for no `-` at the beginning; `**` \
         stands for any more words.",
        patterns.join(", ")
    ))
}

/// What the model reads of it.
fn told(name: &str, limit: Duration, run: &Run) -> Result<Answer, Refusal> {
    let seconds = run.took.as_secs_f64();
    match &run.end {
        End::Exited(code) => {
            let head = format!("Exit code {code} after {seconds:.1} s.");
            Ok(Answer::text(with_output(head, run)))
        }
        End::TooLong => {
            let head = format!(
                "The command was ended: it ran for longer than {} ms. What it had done until then \
                 is done.",
                limit.as_millis()
            );
            Err(Refusal::new(with_output(head, run)))
        }
        End::Failed(mishap) if mishap.may_have_run() => {
            let told = mishap.told(name);
            Err(Refusal::new(with_output(told.as_str().to_owned(), run)))
        }
        End::Failed(mishap) => Err(mishap.told(name)),
    }
}

fn with_output(mut text: String, run: &Run) -> String {
    for (name, kept) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if kept.total() > 0 {
            let _ = write!(
                text,
                "\n--- {name}, {} bytes:\n{}",
                kept.total(),
                kept.text()
            );
        }
    }
    text
}
