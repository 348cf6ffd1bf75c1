//! What a person or a program is told about the pool.

use ccpool_protocol::function::PendingFunction;
use ccpool_protocol::permission::listed;
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::state::{SessionStatus, field};
use ccpool_protocol::{AgentId, ContainerId, SessionId, TurnId, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use crate::container::Container;
use crate::standing::LimitsOverride;

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its name.
    pub session: SessionId,
    /// On whose behalf it was claimed.
    pub agent: AgentId,
    /// The container that serves or served it.
    pub container: Option<ContainerId>,
    /// Where it stands.
    pub status: SessionStatus,
    /// The model asked for, or the one that answers.
    pub model: Option<String>,
    /// The running turn.
    pub turn: Option<TurnId>,
    /// Turns that have ended.
    pub turns: u64,
    /// When it was claimed (Unix ms).
    pub started_at: UnixMs,
    /// When something last happened (Unix ms).
    pub last_activity: UnixMs,
    /// When its wrapper was last heard of (Unix ms).
    pub last_heartbeat: Option<UnixMs>,
    /// What it has cost, in US dollars.
    pub cost_usd: f64,
    /// How many calls of the caller's functions wait for their results.
    #[serde(default)]
    pub waiting_functions: usize,
}

impl SessionInfo {
    /// None: the hash is empty or of another kind.
    pub(crate) fn from_state(session: SessionId, state: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| state.get(name).filter(|value| !value.is_empty());
        let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
        let status = text(field::STATUS)?.parse().ok()?;
        Some(Self {
            session,
            agent: text(field::AGENT_ID).and_then(|id| AgentId::new(id.as_str()).ok())?,
            container: text(field::CONTAINER_ID).and_then(|id| ContainerId::new(id.as_str()).ok()),
            status,
            model: text(field::MODEL).cloned(),
            turn: text(field::TURN).and_then(|turn| TurnId::new(turn.as_str()).ok()),
            turns: number(field::TURNS).unwrap_or(0),
            started_at: number(field::STARTED_AT).unwrap_or(0),
            last_activity: number(field::LAST_ACTIVITY).unwrap_or(0),
            last_heartbeat: number(field::LAST_HEARTBEAT),
            cost_usd: text(field::COST_USD)
                .and_then(|cost| cost.parse().ok())
                .unwrap_or(0.0),
            // A lost container leaves behind what it was waiting for.
            waiting_functions: match status {
                SessionStatus::Ended => 0,
                SessionStatus::Assigned | SessionStatus::Busy | SessionStatus::Draining => {
                    text(field::FUNCTIONS).map_or(0, |list| listed::<PendingFunction>(list).len())
                }
            },
        })
    }
}

/// The whole pool at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSnapshot {
    /// `docker` or `process`.
    pub runtime: String,
    /// What it may hold.
    pub limits: Limits,
    /// Which of the limits were changed while it runs, and go before the configured ones.
    #[serde(default)]
    pub overridden: LimitsOverride,
    /// The gateways that share it.
    #[serde(default)]
    pub gateways: Vec<GatewayInfo>,
    /// What it holds.
    pub counts: Counts,
    /// No new claims are taken.
    pub draining: bool,
    /// Claims that wait for a container, in all gateways.
    pub waiting: usize,
    /// Each container.
    pub containers: Vec<ContainerInfo>,
    /// The newest failures, with the last lines that the container printed.
    pub failures: Vec<RecentFailure>,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfo {
    /// Its id, with the host of its containers.
    pub gateway: String,
    /// It starts containers.
    pub leads: bool,
    /// It is the one that was asked.
    pub me: bool,
}

/// Limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Warm or on the way to it.
    pub min_warm: u32,
    /// In all.
    pub max_total: u32,
    /// Sessions per agent.
    pub max_per_agent: u32,
}

/// Containers by state. `total` is all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Asked of the runtime.
    pub creating: usize,
    /// The wrapper has registered.
    pub booting: usize,
    /// Claimable.
    pub warm: usize,
    /// Bound to a session, between turns.
    pub assigned: usize,
    /// A turn is running.
    pub busy: usize,
    /// On the way out.
    pub draining: usize,
    /// Broken.
    pub failed: usize,
    /// Everything that exists.
    pub total: usize,
}

impl Counts {
    pub(crate) fn of(containers: &[Container]) -> Self {
        let mut counts = Self {
            total: containers.len(),
            ..Self::default()
        };
        for container in containers {
            *match container.state {
                ContainerState::Creating if container.registered_at.is_some() => {
                    &mut counts.booting
                }
                ContainerState::Creating => &mut counts.creating,
                ContainerState::Warm => &mut counts.warm,
                ContainerState::Assigned if container.is_busy() => &mut counts.busy,
                ContainerState::Assigned => &mut counts.assigned,
                ContainerState::Draining => &mut counts.draining,
                ContainerState::Failed => &mut counts.failed,
            } += 1;
        }
        counts
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerInfo {
    /// Its id.
    pub container: ContainerId,
    /// Its name in `docker ps`.
    pub name: String,
    /// As in the life cycle: `creating`, `booting`, `warm`, `assigned`, `busy`, `draining`,
    /// `failed`.
    pub state: String,
    /// The session that it serves.
    pub session: Option<SessionId>,
    /// On whose behalf.
    pub agent: Option<AgentId>,
    /// Since it was asked for, in ms.
    pub age_ms: u64,
    /// What it was made from.
    pub fingerprint: String,
    /// The host that it runs on.
    #[serde(default)]
    pub host: String,
    /// The gateway that holds its claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why it failed or drains.
    pub reason: Option<String>,
}

impl ContainerInfo {
    pub(crate) fn of(container: &Container, prefix: &str, now: UnixMs) -> Self {
        let suffix = match &container.session {
            Some(session) => session.docker_name(),
            None => container.id.to_string(),
        };
        Self {
            container: container.id.clone(),
            name: format!("{prefix}{suffix}"),
            state: container.shown_state().to_owned(),
            session: container.session.clone(),
            agent: container.agent.clone(),
            age_ms: now.saturating_sub(container.created_at),
            fingerprint: container.fingerprint.clone(),
            host: container.host.clone(),
            owner: container.owner.clone(),
            reason: container.reason.clone(),
        }
    }
}

/// A container that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentFailure {
    /// When it was noticed (Unix ms).
    pub at: UnixMs,
    /// Which.
    pub container: ContainerId,
    /// Why.
    pub reason: String,
    /// The last lines that it printed.
    pub log_tail: Vec<String>,
}

/// How the pool is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Why it is not `ok`, one line each.
    pub reasons: Vec<String>,
    /// What should be otherwise and is in the way of nothing, with what mends it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether a claim can be served now.
    pub can_claim: bool,
    /// ccpool's version.
    pub version: String,
    /// Redis.
    pub redis: Check,
    /// The container runtime.
    pub runtime: Check,
    /// `docker` or `process`.
    pub runtime_kind: String,
    /// What separates a container from this host.
    pub isolation: String,
    /// Containers by state.
    pub pool: Counts,
    /// The image of the containers.
    pub image: String,
    /// The CLI's version that is expected in it.
    pub claude_version: String,
}

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// Claims can be served, but something is wrong.
    Degraded,
    /// Claims cannot be served.
    Unavailable,
}

/// One thing that the pool depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// It answers.
    pub ok: bool,
    /// How fast, in ms.
    pub latency_ms: Option<f64>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Check {
    pub(crate) fn of<E: std::fmt::Display>(answer: Result<std::time::Duration, E>) -> Self {
        match answer {
            Ok(latency) => Self {
                ok: true,
                latency_ms: Some(latency.as_secs_f64() * 1e3),
                detail: None,
            },
            Err(error) => Self {
                ok: false,
                latency_ms: None,
                detail: Some(error.to_string()),
            },
        }
    }
}

/// Who calls the gateway's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The container whose token it is; none for one that was made for a person.
    pub container: Option<ContainerId>,
    /// The session that it serves; none before the claim.
    pub session: Option<SessionId>,
    /// On whose behalf; none before the claim.
    pub agent: Option<AgentId>,
    /// How many generations of sessions there are before this one; 0 for one that a person began.
    pub depth: u32,
}
