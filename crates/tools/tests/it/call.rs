//! A tool, called as the bridge calls it.

use ccpool::config::Config;
use ccpool::{AgentId, SessionId};
pub(crate) use ccpool_testing::{PATIENCE, eventually};
use ccpool_tools::{
    Answer, Call, Caller, Channels, GatewayTools, NodesExec, NodesList, Progress, Refusal,
    SendMessage,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The tools of these tests.
pub(crate) fn tools(config: &Config) -> GatewayTools {
    GatewayTools::empty()
        .with(SendMessage::through(Channels::of(config)))
        .with(NodesList::of(config))
        .with(NodesExec::of(config))
}

/// By the session `s1` of an agent.
pub(crate) fn by(agent: &str) -> Call {
    Call {
        caller: Caller {
            depth: 0,
            session: SessionId::new("s1").expect("a session id"),
            agent: AgentId::new(agent).expect("an agent's name"),
        },
        cancelled: CancellationToken::new(),
        progress: Progress::default(),
    }
}

/// Calls a tool for the agent `main`.
pub(crate) async fn call(config: &Config, tool: &str, input: Value) -> Result<Answer, Refusal> {
    call_by(config, by("main"), tool, input).await
}

/// Calls a tool.
pub(crate) async fn call_by(
    config: &Config,
    call: Call,
    tool: &str,
    input: Value,
) -> Result<Answer, Refusal> {
    let Value::Object(arguments) = input else {
        panic!("no object: {input}")
    };
    let tools = tools(config);
    let called = tools.call(tool, arguments, call);
    tokio::time::timeout(PATIENCE, called)
        .await
        .expect("a tool answers")
}

/// What the model reads of what worked.
pub(crate) fn worked(answer: Result<Answer, Refusal>) -> String {
    answer.unwrap_or_else(|refusal| panic!("{refusal:?}")).text
}

/// What the model reads of what did not.
pub(crate) fn refused(answer: Result<Answer, Refusal>) -> String {
    answer.expect_err("a refusal").as_str().to_owned()
}
