//! `/mcp`: streamable HTTP, stateless, JSON answers.
//!
//! Every request carries its container's token and is answered by itself, so a container may talk
//! to any gateway of the pool, and a gateway that restarts has lost nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use ccpool::Pool;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool as Listed, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::identify;
use crate::pace::Pace;
use crate::running::{MOST, Running, heed};
use crate::{Answer, Call, Caller, Effect, GatewayTools, Progress, Refusal, ToolDescription};

/// How often a call that takes long is said to be under way, so that nobody takes it for dead.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// The field of a result's `_meta` that has its data.
const DATA: &str = "ccpool/data";

const INSTRUCTIONS: &str = "\
Tools of the gateway that runs this conversation. What they show and do is limited to your own agent.";

/// The router that answers `/mcp`. `hosts` are the names, beside loopback's, by which containers
/// call this gateway; `stop` ends what runs.
pub fn bridge(
    pool: &Pool,
    tools: GatewayTools,
    hosts: impl IntoIterator<Item = String>,
    stop: CancellationToken,
) -> Router {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_allowed_hosts(loopback.into_iter().chain(hosts))
        .with_cancellation_token(stop);
    let running = Running::default();
    let offered = tools.list().map(|tool| (tool.name, listed(tool)));
    let bridge = Bridge {
        pool: pool.clone(),
        offered: Arc::new(offered.collect()),
        tools: Arc::new(tools),
        running: running.clone(),
        pace: Arc::new(Pace::new(pool.config().tools.calls_per_second)),
    };
    let service = StreamableHttpService::new(
        move || Ok(bridge.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service("/mcp", service)
        .route_layer(from_fn_with_state(running, heed))
        .route_layer(from_fn_with_state(pool.clone(), identify))
}

/// The tools as MCP has them, for any container; who calls is read from each request.
#[derive(Debug, Clone)]
struct Bridge {
    pool: Pool,
    tools: Arc<GatewayTools>,
    /// What is told of them, by name: the schemas are made once, and not for every call.
    offered: Arc<BTreeMap<&'static str, Listed>>,
    running: Running,
    pace: Arc<Pace>,
}

impl ServerHandler for Bridge {
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
        let caller = identified(&context)?;
        // A container counts as warm only once its own token has come this far.
        if let Some(container) = &caller.container {
            self.pool
                .tools_listed(container)
                .await
                .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        }
        let all = self.offered.values().cloned();
        Ok(ListToolsResult::with_all_items(all.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = identified(&context)?;
        let under_way = self.running.begin(&caller, context.id.clone(), &context.ct);
        let (Some(session), Some(agent)) = (caller.session, caller.agent) else {
            return Ok(refused(&Refusal::new(
                "This container serves no session yet, so it has nothing to show. Call again once a \
                 conversation has begun.",
            ))
            .into());
        };
        if under_way.is_none() {
            return Ok(refused(&Refusal::new(format!(
                "{MOST} calls of this session are under way already. Wait for one of them."
            )))
            .into());
        }
        if let Err(wait) = self.pace.take(&session) {
            return Ok(refused(&Refusal::new(format!(
                "This session calls tools too often. Wait {:.1} s, and call less.",
                wait.as_secs_f64()
            )))
            .into());
        }
        let call = Call {
            caller: Caller {
                session,
                agent,
                depth: caller.depth,
            },
            cancelled: context.ct.clone(),
            progress: Progress::new(context.peer.clone(), context.meta.get_progress_token()),
        };
        Ok(self.answer(request, call).await.into())
    }

    fn get_tool(&self, name: &str) -> Option<Listed> {
        self.offered.get(name).cloned()
    }
}

impl Bridge {
    async fn answer(&self, request: CallToolRequestParams, call: Call) -> CallToolResult {
        let name: &str = &request.name;
        let (session, agent) = (call.caller.session.clone(), call.caller.agent.clone());
        let (cancelled, progress) = (call.cancelled.clone(), call.progress.clone());
        let began = Instant::now();
        let arguments = request.arguments.unwrap_or_default();
        let mut answer = std::pin::pin!(self.tools.call(name, arguments, call));
        let mut beat = tokio::time::interval_at(began + UNDER_WAY, UNDER_WAY);
        let (outcome, result) = loop {
            // A beat that is lost is followed by another one; the call itself is kept.
            tokio::select! {
                answer = &mut answer => break match answer {
                    Ok(answer) => ("ok", answered(answer)),
                    Err(refusal) => ("refused", refused(&refusal)),
                },
                () = cancelled.cancelled() => {
                    break ("cancelled", refused(&Refusal::new("The call was cancelled.")));
                }
                _ = beat.tick() => {
                    let seconds = began.elapsed().as_secs();
                    let message = format!("{name} is under way for {seconds} s");
                    progress.report(began.elapsed().as_secs_f64(), None, message).await;
                }
            }
        };
        // Whatever a container calls, only names of tools become labels.
        let known = self.offered.get_key_value(name);
        let tool = known.map_or("other", |(known, _)| *known);
        let took = began.elapsed();
        tracing::info!(%session, %agent, tool, outcome, ms = took.as_millis(), "tool call");
        metrics::counter!("ccpool_tool_calls_total", "tool" => tool, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("ccpool_tool_call_seconds", "tool" => tool).record(took.as_secs_f64());
        result
    }
}

/// Who calls, as the token told.
fn identified(context: &RequestContext<RoleServer>) -> Result<ccpool::Caller, ErrorData> {
    context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<ccpool::Caller>())
        .cloned()
        .ok_or_else(|| ErrorData::internal_error("the caller was not identified", None))
}

fn listed(tool: ToolDescription) -> Listed {
    let mut listed = Listed::new(tool.name, tool.description, Arc::new(tool.input_schema));
    let mut hints = ToolAnnotations::default();
    hints.read_only_hint = Some(tool.effect == Effect::Reads);
    hints.destructive_hint = Some(tool.effect == Effect::Destroys);
    listed.annotations = Some(hints);
    listed
}

fn answered(answer: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    if let Some(data) = answer.data {
        let mut meta = MetaObject::default();
        meta.insert(DATA.to_owned(), data);
        result.meta = Some(meta);
    }
    result
}

/// An answer that the model reads, and that says it did not work.
fn refused(refusal: &Refusal) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(refusal.as_str())])
}
