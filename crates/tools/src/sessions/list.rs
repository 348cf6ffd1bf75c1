use std::fmt::Write as _;

use ccpool::{Pool, SessionInfo};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::shown::Shown;
use crate::{Answer, Call, Caller, Effect, Refusal, Tool};

/// More sessions are no help to a model.
const DEFAULT: usize = 20;
const MOST: usize = 100;

/// `sessions_list`.
#[derive(Debug)]
pub(crate) struct SessionsList {
    pool: Pool,
}

impl SessionsList {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowMany {
    /// The agent whose sessions are wanted. Only your own agent is allowed; leave it out.
    agent: Option<String>,
    /// How many sessions at most, 1 to 100; 20 when left out.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
}

impl Tool for SessionsList {
    type Arguments = HowMany;
    const NAME: &'static str = "sessions_list";
    const DESCRIPTION: &'static str = "List the live sessions (conversations) of your agent, newest \
        activity first: id, status, model, turns, cost. Your own session is marked.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, many: HowMany, call: Call) -> Result<Answer, Refusal> {
        let me = &call.caller;
        if many.agent.is_some_and(|agent| agent != me.agent.as_str()) {
            return Err(Refusal::new(format!(
                "You see only the sessions of your own agent, `{}`.",
                me.agent
            )));
        }
        let limit = many.limit.unwrap_or(DEFAULT).clamp(1, MOST);
        Ok(list(me, self.pool.sessions().await?, limit))
    }
}

fn list(me: &Caller, all: Vec<SessionInfo>, limit: usize) -> Answer {
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
    let data = json!({"agent": me.agent, "total": total, "sessions": shown});
    Answer::with_data(text, data)
}

#[cfg(test)]
mod tests {
    use ccpool::{AgentId, SessionId};
    use ccpool_protocol::state::SessionStatus;

    use super::*;

    fn me() -> Caller {
        Caller {
            session: SessionId::new("s1").unwrap(),
            agent: AgentId::new("main").unwrap(),
            depth: 0,
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
            waiting_functions: 0,
        }
    }

    #[test]
    fn a_list_holds_the_own_agents_sessions_newest_first() {
        let all = vec![
            info("s1", "main", 5),
            info("x", "other", 9),
            info("s2", "main", 7),
        ];
        let answer = list(&me(), all, 20);
        assert_eq!(
            answer.text,
            "2 live sessions of agent main\ns2 (assigned, opus, 2 turns, $0.2500)\n\
             s1 (assigned, opus, 2 turns, $0.2500) <- you are here"
        );
        let data = answer.data.unwrap();
        assert_eq!(data["sessions"][1]["own"], true);
        assert!(!data.to_string().contains("other"));
    }

    #[test]
    fn a_long_list_says_that_it_is_cut() {
        let all = (0..5).map(|n| info(&format!("s{n}"), "main", n)).collect();
        let answer = list(&me(), all, 2);
        let head = "5 live sessions of agent main, the newest 2 are shown\ns4";
        assert!(answer.text.starts_with(head));
        assert_eq!(answer.data.unwrap()["total"], 5);
    }
}
