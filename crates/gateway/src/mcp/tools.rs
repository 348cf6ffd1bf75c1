//! The tools that an agent in a container can call.

use std::fmt::Write as _;

use ccpool::{AgentId, Caller, Pool, PoolError, SessionId, SessionInfo};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, tool, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// More sessions are no help to a model.
const LIST_DEFAULT: usize = 20;
const LIST_MOST: usize = 100;

const INSTRUCTIONS: &str = "\
Tools of the gateway that runs this conversation. They show the conversations (sessions) of this \
agent, and only those.";

/// The tools, for any container; who calls is read from each request.
#[derive(Clone)]
pub(crate) struct Tools {
    pool: Pool,
    routes: ToolRouter<Self>,
}

/// Arguments of `sessions_list`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListArguments {
    /// The agent whose sessions are wanted. Only your own agent is allowed; leave it out.
    agent: Option<String>,
    /// How many sessions at most, 1 to 100; 20 when left out.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
}

/// Arguments of `session_status`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatusArguments {
    /// The session id, as `sessions_list` shows it; your own session when left out.
    session: Option<String>,
}

/// The caller, bound to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    session: SessionId,
    agent: AgentId,
}

#[tool_router(router = routes)]
impl Tools {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            routes: Self::routes(),
        }
    }

    #[tool(
        description = "List the live sessions (conversations) of your agent, newest activity \
            first: id, status, model, turns, cost. Your own session is marked.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn sessions_list(
        &self,
        Parameters(arguments): Parameters<ListArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let me = match bound(&context)? {
            Ok(me) => me,
            Err(refusal) => return Ok(refusal),
        };
        if arguments
            .agent
            .as_deref()
            .is_some_and(|agent| agent != me.agent.as_str())
        {
            let text = format!(
                "You see only the sessions of your own agent, `{}`.",
                me.agent
            );
            return Ok(refusal(text));
        }
        let limit = arguments.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MOST);
        match self.pool.sessions().await {
            Ok(all) => Ok(list(&me, all, limit)),
            Err(error) => Ok(unavailable(&error)),
        }
    }

    #[tool(
        description = "Show one session of your agent, your own when none is named: status, \
            model, running turn, finished turns, cost, times.",
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn session_status(
        &self,
        Parameters(arguments): Parameters<StatusArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let me = match bound(&context)? {
            Ok(me) => me,
            Err(refusal) => return Ok(refusal),
        };
        let wanted = match arguments.session {
            None => me.session.clone(),
            Some(text) => match SessionId::new(text) {
                Ok(session) => session,
                Err(error) => return Ok(refusal(format!("That is no session id: {error}."))),
            },
        };
        match self.pool.session(&wanted).await {
            Ok(found) if found.agent == me.agent => Ok(status(&me, &found)),
            // A session of another agent is answered as one that does not exist.
            Ok(_) | Err(PoolError::UnknownSession(_)) => Ok(refusal(format!(
                "Your agent has no live session `{wanted}`; `sessions_list` shows what there is."
            ))),
            Err(error) => Ok(unavailable(&error)),
        }
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("ccpool", env!("CARGO_PKG_VERSION"));
        info.instructions = Some(INSTRUCTIONS.to_owned());
        info
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = caller(&context)?;
        // A container counts as warm only once its own token has come this far.
        self.pool
            .tools_listed(&caller.container)
            .await
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(ListToolsResult::with_all_items(self.routes.list_all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.routes
            .call(ToolCallContext::new(self, request, context))
            .await
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.routes.get(name).cloned()
    }
}

/// Who calls, as the token told.
fn caller(context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<Caller>())
        .cloned()
        .ok_or_else(|| ErrorData::internal_error("the caller was not identified", None))
}

fn bound(context: &RequestContext<RoleServer>) -> Result<Result<Bound, CallToolResult>, ErrorData> {
    let caller = caller(context)?;
    Ok(match (caller.session, caller.agent) {
        (Some(session), Some(agent)) => Ok(Bound { session, agent }),
        (Some(_) | None, _) => Err(refusal(
            "This container serves no session yet, so it has nothing to show. Call again once a \
             conversation has begun."
                .to_owned(),
        )),
    })
}

/// An answer that the model reads, and that says it did not work.
fn refusal(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

fn unavailable(error: &PoolError) -> CallToolResult {
    refusal(format!(
        "The gateway cannot tell right now: {error}. Try again in a moment."
    ))
}

/// What the model may know of a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    session: &'a SessionId,
    own: bool,
    status: &'static str,
    model: Option<&'a str>,
    turn: Option<&'a str>,
    turns: u64,
    cost_usd: f64,
    started_at: u64,
    last_activity: u64,
}

impl<'a> Shown<'a> {
    fn of(me: &Bound, info: &'a SessionInfo) -> Self {
        Self {
            session: &info.session,
            own: info.session == me.session,
            status: info.status.as_str(),
            model: info.model.as_deref(),
            turn: info.turn.as_ref().map(|turn| turn.as_str()),
            turns: info.turns,
            cost_usd: info.cost_usd,
            started_at: info.started_at,
            last_activity: info.last_activity,
        }
    }

    fn line(&self) -> String {
        let mut line = format!("{} ({}", self.session, self.status);
        if let Some(model) = self.model {
            let _ = write!(line, ", {model}");
        }
        let _ = write!(line, ", {} turns, ${:.4})", self.turns, self.cost_usd);
        if self.own {
            line.push_str(" <- you are here");
        }
        line
    }
}

fn answer(text: String, structured: serde_json::Value) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.structured_content = Some(structured);
    result
}

fn list(me: &Bound, all: Vec<SessionInfo>, limit: usize) -> CallToolResult {
    let mut own: Vec<SessionInfo> = all
        .into_iter()
        .filter(|info| info.agent == me.agent)
        .collect();
    own.sort_by(|a, b| {
        b.last_activity
            .cmp(&a.last_activity)
            .then_with(|| a.session.cmp(&b.session))
    });
    let total = own.len();
    let shown: Vec<Shown<'_>> = own
        .iter()
        .take(limit)
        .map(|info| Shown::of(me, info))
        .collect();
    let mut text = format!("{total} live sessions of agent {}", me.agent);
    if shown.len() < total {
        let _ = write!(text, ", the newest {} are shown", shown.len());
    }
    for session in &shown {
        let _ = write!(text, "\n{}", session.line());
    }
    let structured = json!({"agent": me.agent, "total": total, "sessions": shown});
    answer(text, structured)
}

fn status(me: &Bound, info: &SessionInfo) -> CallToolResult {
    let shown = Shown::of(me, info);
    let mut text = shown.line();
    if let Some(turn) = shown.turn {
        let _ = write!(text, "\nturn {turn} is running");
    }
    let structured = json!(shown);
    answer(text, structured)
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::state::SessionStatus;

    use super::*;

    fn me() -> Bound {
        Bound {
            session: SessionId::new("s1").unwrap(),
            agent: AgentId::new("main").unwrap(),
        }
    }

    fn info(session: &str, agent: &str, last_activity: u64) -> SessionInfo {
        SessionInfo {
            session: SessionId::new(session).unwrap(),
            agent: AgentId::new(agent).unwrap(),
            container: None,
            status: SessionStatus::Assigned,
            model: Some("opus".to_owned()),
            turn: None,
            turns: 2,
            started_at: 1,
            last_activity,
            last_heartbeat: None,
            cost_usd: 0.25,
        }
    }

    #[test]
    fn a_list_holds_the_own_agents_sessions_newest_first() {
        let all = vec![
            info("s1", "main", 5),
            info("x", "other", 9),
            info("s2", "main", 7),
        ];
        let result = list(&me(), all, 20);
        let json = serde_json::to_value(&result).unwrap();
        assert_eq!(
            json["content"][0]["text"],
            "2 live sessions of agent main\ns2 (assigned, opus, 2 turns, $0.2500)\n\
             s1 (assigned, opus, 2 turns, $0.2500) <- you are here"
        );
        assert_eq!(json["structuredContent"]["sessions"][1]["own"], true);
        assert!(!json.to_string().contains("other"));
    }

    #[test]
    fn a_long_list_says_that_it_is_cut() {
        let all = (0..5).map(|n| info(&format!("s{n}"), "main", n)).collect();
        let json = serde_json::to_value(list(&me(), all, 2)).unwrap();
        let text = json["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("5 live sessions of agent main, the newest 2 are shown\ns4"));
        assert_eq!(json["structuredContent"]["total"], 5);
    }

    #[test]
    fn tools_have_schemas() {
        let tools = Tools::routes().list_all();
        let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["session_status", "sessions_list"]);
        for tool in &tools {
            assert_eq!(tool.input_schema["type"], "object");
            assert!(tool.description.is_some());
        }
    }
}
