//! Shapes of answers, for the API description. The types themselves belong to the library, which
//! knows nothing of OpenAPI; a test holds these against what the gateway really sends.
#![expect(dead_code, reason = "read by the description only")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// What a program acts on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    Exhausted,
    Unavailable,
    Auth,
    RateLimited,
    Overloaded,
    InvalidRequest,
    MaxTurns,
    Interrupted,
    Stalled,
    ContainerLost,
    Timeout,
    Internal,
}

/// When a prompt gets its turn.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Mode {
    Queue,
    Steer,
    Interrupt,
}

/// The types of reply events.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum EventType {
    Started,
    TextDelta,
    ThinkingDelta,
    Text,
    Retract,
    ToolUse,
    ToolResult,
    PermissionRequest,
    PermissionResolved,
    FunctionCalls,
    Status,
    Gap,
    Completed,
    Failed,
    Other,
}

/// One event of a turn. `type` says which of the other fields there are; `completed` and `failed`
/// end the turn, and exactly one of them comes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ReplyEvent {
    #[schema(rename = "type")]
    event_type: EventType,
    turn: String,
    /// The envelope that the event comes from; several events can come from one.
    seq: u64,
    /// Unix milliseconds.
    at: u64,
    /// Set in a turn that nobody asked for, with the CLI's reason for it.
    origin: Option<String>,
    /// `started`: the model that answers.
    model: Option<String>,
    /// `started`: the session id of the CLI itself.
    cli_session_id: Option<String>,
    /// `started`: the version of the CLI.
    claude_version: Option<String>,
    /// `text_delta`, `thinking_delta`, `text`, `retract`: the message.
    message_id: Option<String>,
    /// `text_delta`, `thinking_delta`: the block in the message.
    block: Option<u64>,
    /// `retract`: from this block on, what was said does not count.
    from_block: Option<u64>,
    /// `text_delta`, `thinking_delta`: more text. `text`: a finished block. `completed`: the answer.
    text: Option<String>,
    /// `tool_use`, `tool_result`, `permission_request`, `permission_resolved`: which call.
    tool_use_id: Option<String>,
    /// `text`, `tool_use`, `tool_result` inside a subagent: its `Agent` call.
    parent_tool_use_id: Option<String>,
    /// `tool_use`, `permission_request`: the tool.
    name: Option<String>,
    /// `tool_use`, `permission_request`: what it is called with.
    input: Option<serde_json::Value>,
    /// `tool_result`: text or content blocks.
    content: Option<serde_json::Value>,
    /// `tool_result`: the tool failed.
    is_error: Option<bool>,
    /// `permission_request`, `permission_resolved`: to be named in the answer.
    request_id: Option<String>,
    /// `permission_request`: why it is asked.
    reason: Option<String>,
    /// `permission_request`: rules that would answer it for good.
    suggestions: Option<Vec<serde_json::Value>>,
    /// `function_calls`: functions of the caller's that the model calls.
    calls: Option<Vec<FunctionCall>>,
    /// `permission_request`: when the policy answers it, if nobody else does; `function_calls`: when the
    /// turn ends, if the results have not come (Unix milliseconds).
    expires_at: Option<u64>,
    /// `permission_resolved`: how it ended.
    outcome: Option<PermissionOutcome>,
    /// `permission_resolved`: what the CLI was told; nothing when it asks no more.
    behavior: Option<Behavior>,
    /// `permission_resolved`: who ended it.
    by: Option<SettledBy>,
    /// `status`: what it is about.
    status: Option<String>,
    /// `status`: the CLI's own fields.
    detail: Option<BTreeMap<String, serde_json::Value>>,
    /// `gap`: envelopes from here …
    from: Option<u64>,
    /// `gap`: … to here are lost to this reader.
    to: Option<u64>,
    /// `completed`, `failed`: tokens of the whole turn; `function_calls`: of the answer that the calls end,
    /// as in `answerUsage`.
    usage: Option<Usage>,
    /// `completed`, `failed`: tokens of the turn's last answer. What was read is the newest request's to
    /// the model, and says how full its context is; what was written is all since the turn began or its
    /// caller was last told of function calls.
    answer_usage: Option<Usage>,
    /// `completed`, `failed`: US dollars, by the CLI's reckoning.
    cost_usd: Option<f64>,
    /// `completed`: from the prompt to here.
    duration_ms: Option<u64>,
    /// `completed`: the session id of the CLI itself.
    session: Option<String>,
    /// `completed`: why the model stopped.
    stop_reason: Option<String>,
    /// `completed`: the object, with a JSON schema asked for.
    structured_output: Option<serde_json::Value>,
    /// `completed`, `failed`: where the time went.
    timings: Option<Timings>,
    /// `failed`: what a program acts on.
    kind: Option<FailureKind>,
    /// `failed`: one line for a person.
    message: Option<String>,
    /// `failed`: a reader has seen text of the answer.
    visible_output: Option<bool>,
    /// `failed`: a tool has, or may have, acted.
    tool_effects: Option<bool>,
    /// `failed`: when it makes sense to try again.
    retry_after_ms: Option<u64>,
    /// `other`: a line of the CLI that this version does not know.
    line: Option<serde_json::Value>,
}

/// Tokens, by the names of the Messages API.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
}

/// Stages of a turn, in milliseconds after the prompt was pushed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Timings {
    /// Taken by the wrapper.
    taken_ms: Option<u64>,
    /// Written to `claude`.
    sent_ms: Option<u64>,
    /// `claude` was about to ask the model.
    request_ms: Option<u64>,
    /// The first delta.
    first_delta_ms: Option<u64>,
    /// The result.
    result_ms: Option<u64>,
}

/// A claimed session.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Claimed {
    session: String,
    agent: String,
    container: String,
    /// `false`: the session was live already.
    created: bool,
    /// How long the claim took.
    claim_ms: f64,
    /// No container was warm at first.
    waited: bool,
    links: super::sessions::Links,
}

/// All live sessions.
#[derive(ToSchema)]
pub(crate) struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// Where a session stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum SessionStatus {
    /// Between turns.
    Assigned,
    /// A turn is running.
    Busy,
    /// Finishing.
    Draining,
    /// Its container is gone.
    Ended,
}

/// A session. Times are Unix milliseconds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SessionInfo {
    session: String,
    agent: String,
    container: Option<String>,
    status: SessionStatus,
    model: Option<String>,
    /// The running turn.
    turn: Option<String>,
    /// How many turns have ended.
    turns: u64,
    started_at: u64,
    last_activity: u64,
    last_heartbeat: Option<u64>,
    /// US dollars so far.
    cost_usd: f64,
    /// How many calls of the caller's functions wait for their results.
    waiting_functions: u64,
}

/// A call of a function of the caller's.
#[derive(ToSchema)]
pub(crate) struct FunctionCall {
    id: String,
    name: String,
    arguments: serde_json::Value,
}

/// How a permission request ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum PermissionOutcome {
    Allowed,
    Denied,
    /// It is no longer asked.
    Withdrawn,
    /// The policy answered it.
    TimedOut,
}

/// What the CLI is told.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Behavior {
    Allow,
    Deny,
}

/// Who ended a permission request.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum SettledBy {
    /// Somebody who answered.
    Caller,
    /// `permissions.onTimeout`.
    Policy,
    /// The agent asks no more.
    Claude,
}

/// A permission request that waits. Times are Unix milliseconds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct PendingPermission {
    request_id: String,
    turn: String,
    /// Of its `permission_request` event.
    seq: u64,
    tool_use_id: String,
    /// The tool.
    name: String,
    /// What it is to be called with; left out when it is large.
    input: Option<serde_json::Value>,
    /// Why it is asked.
    reason: Option<String>,
    /// Changes of the rules that `always` would make.
    suggestions: Option<Vec<serde_json::Value>>,
    /// Input or suggestions are too large to be listed; the event has them.
    cut: Option<bool>,
    asked_at: u64,
    /// When the policy answers it.
    expires_at: Option<u64>,
}

/// The permission requests of a session that wait.
#[derive(ToSchema)]
pub(crate) struct PermissionList {
    session: String,
    permissions: Vec<PendingPermission>,
}

/// An answer to a permission request.
#[derive(ToSchema)]
pub(crate) struct PermissionAnswer {
    behavior: Behavior,
    /// `allow`: with this input instead of the asked one.
    input: Option<BTreeMap<String, serde_json::Value>>,
    /// `allow`, to `AskUserQuestion`: from each question's text to the label or labels chosen, or a
    /// text of one's own.
    answers: Option<BTreeMap<String, serde_json::Value>>,
    /// `allow`: all suggestions of the request hold for the rest of the session.
    always: Option<bool>,
    /// `deny`: what the model is told.
    message: Option<String>,
    /// `deny`: the turn ends, too.
    interrupt: Option<bool>,
}

/// What became of a permission request.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct SettledPermission {
    request_id: String,
    outcome: PermissionOutcome,
    /// What the CLI was told; nothing when it asks no more.
    behavior: Option<Behavior>,
    by: SettledBy,
    /// Unix milliseconds.
    at: u64,
}

/// An answer that was taken.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AnsweredPermission {
    session: String,
    request_id: String,
    outcome: PermissionOutcome,
    behavior: Option<Behavior>,
    by: SettledBy,
    /// Unix milliseconds.
    at: u64,
}

/// How many containers there are, by state.
#[derive(ToSchema)]
pub(crate) struct Counts {
    creating: u64,
    booting: u64,
    warm: u64,
    assigned: u64,
    busy: u64,
    draining: u64,
    failed: u64,
    total: u64,
}

/// The pool's limits.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Limits {
    min_warm: u32,
    max_total: u32,
    max_per_agent: u32,
}

/// A container.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct ContainerInfo {
    container: String,
    /// Its name in the runtime.
    name: String,
    state: String,
    session: Option<String>,
    agent: Option<String>,
    age_ms: u64,
    /// What it was made from.
    fingerprint: String,
    /// The host that it runs on.
    host: String,
    /// The gateway that holds its claim.
    owner: Option<String>,
    /// Why it drains or failed.
    reason: Option<String>,
}

/// A container that failed lately.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RecentFailure {
    /// Unix milliseconds.
    at: u64,
    container: String,
    reason: String,
    /// The last lines that it printed.
    log_tail: Vec<String>,
}

/// Limits that go before the configured ones.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LimitsOverride {
    min_warm: Option<u32>,
    max_total: Option<u32>,
    max_per_agent: Option<u32>,
}

/// Other limits. Left out: stays; `null`: as configured.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct LimitsChange {
    /// Warm or on the way to it; at most `maxTotal`.
    min_warm: Option<u32>,
    /// In all.
    max_total: Option<u32>,
    /// Sessions per agent.
    max_per_agent: Option<u32>,
}

/// One gateway.
#[derive(ToSchema)]
pub(crate) struct GatewayInfo {
    /// Its id, with the host of its containers.
    gateway: String,
    /// It starts containers.
    leads: bool,
    /// It is the one that was asked.
    me: bool,
}

/// The pool.
#[derive(ToSchema)]
pub(crate) struct PoolSnapshot {
    /// `docker` or `process`.
    runtime: String,
    limits: Limits,
    /// Limits that were changed while the pool runs, and go before the configured ones.
    overridden: LimitsOverride,
    /// The gateways that share the pool.
    gateways: Vec<GatewayInfo>,
    counts: Counts,
    draining: bool,
    /// Claims that wait for a container, in all gateways.
    waiting: u64,
    containers: Vec<ContainerInfo>,
    failures: Vec<RecentFailure>,
}

/// How the gateway is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    Ok,
    Degraded,
    Unavailable,
}

/// Whether something that the pool needs answers.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Check {
    ok: bool,
    latency_ms: Option<f64>,
    detail: Option<String>,
}

/// Health of the pool and of what it needs.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct Health {
    status: HealthStatus,
    /// Why it is not `ok`.
    reasons: Vec<String>,
    /// What should be otherwise and is in the way of nothing, with what mends it.
    warnings: Vec<String>,
    version: String,
    redis: Check,
    runtime: Check,
    /// `docker` or `process`.
    runtime_kind: String,
    pool: Counts,
    image: String,
    claude_version: String,
    /// `container`, or `none (process runtime)`.
    isolation: String,
    can_claim: bool,
}
