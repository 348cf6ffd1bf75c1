use std::time::Duration;

use ccpool::protocol::assignment::Parent;
use ccpool::{ClaimRequest, Pool, PoolError, Prompt, SessionId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::reply::{Reply, reply};
use super::send::refused;
use crate::{Answer, Call, Effect, Refusal, Tool};

/// `sessions_spawn`.
#[derive(Debug)]
pub(crate) struct SessionsSpawn {
    pool: Pool,
    /// Longest wait for an answer.
    wait: Duration,
    /// How many generations there may be.
    max_depth: u32,
    /// Children are ended by tasks, which a caller that goes away does not take along.
    tasks: TaskTracker,
}

impl SessionsSpawn {
    pub(crate) fn new(pool: &Pool, wait: Duration, max_depth: u32) -> Self {
        Self {
            pool: pool.clone(),
            wait,
            max_depth,
            tasks: TaskTracker::new(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// What the child is asked. It knows nothing of your conversation, so say everything it needs.
    prompt: String,
    /// Another model than your agent's: an alias such as `sonnet`, or a full id.
    model: Option<String>,
    /// Wait for the answer (true when left out), or return at once.
    wait: Option<bool>,
    /// Keep the child after its answer, to send it more with sessions_send; false when left out. A
    /// child that is not waited for is always kept, and ends when it has been idle.
    keep: Option<bool>,
}

impl Tool for SessionsSpawn {
    type Arguments = Task;
    const NAME: &'static str = "sessions_spawn";
    const DESCRIPTION: &'static str = "Begin a child session in a container of its own, with a task, and \
        get its answer. It counts among the sessions of your agent. For work that goes on beside yours \
        use `wait: false` and read the answer with sessions_history.";
    const EFFECT: Effect = Effect::Acts;

    async fn call(&self, task: Task, call: Call) -> Result<Answer, Refusal> {
        let depth = call.caller.depth + 1;
        if depth > self.max_depth {
            return Err(Refusal::new(format!(
                "A session may not begin another one here: {} generations are allowed \
                 (`tools.sessions.maxDepth`). Do the work yourself.",
                self.max_depth
            )));
        }
        let me = call.caller.clone();
        let request = ClaimRequest {
            agent: me.agent.clone(),
            model: task.model.clone(),
            parent: Some(Parent {
                session: me.session.clone(),
                depth,
            }),
            ..ClaimRequest::default()
        };
        let child = self.pool.claim(request).await.map_err(no_room)?.session;
        let ending = Ending {
            pool: self.pool.clone(),
            tasks: self.tasks.clone(),
            child: Some(child.clone()),
        };
        let wait = task.wait.unwrap_or(true);
        let _waiting = if wait {
            let waiting = self.pool.wait_for(&me.session, &child, self.wait).await;
            Some(waiting.map_err(refused)?)
        } else {
            None
        };
        let prompt = Prompt::text(task.prompt);
        let sent = self.pool.relay(&me.session, &child, prompt).await;
        let sent = sent.map_err(refused)?;
        let turn = sent.turn.to_string();
        if !wait {
            ending.spare();
            let text = format!(
                "The child session {child} has begun with turn `{turn}`. sessions_history shows its \
                 answer once it is there; it ends when it has been idle."
            );
            let data = json!({"session": child, "turn": turn, "outcome": "sent"});
            return Ok(Answer::with_data(text, data));
        }
        let reply = reply(sent, self.wait, &call.progress).await?;
        // Whoever reads later that it is late finds it.
        if task.keep.unwrap_or(false) || matches!(reply, Reply::Late(_)) {
            ending.spare();
        }
        reply.told(child.as_str(), &turn)
    }
}

/// Ends a child however its parent's call ends, unless it is spared.
struct Ending {
    pool: Pool,
    tasks: TaskTracker,
    child: Option<SessionId>,
}

impl Ending {
    fn spare(mut self) {
        self.child = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else {
            return;
        };
        let pool = self.pool.clone();
        self.tasks.spawn(async move {
            match pool.end(&child).await {
                Ok(()) | Err(PoolError::UnknownSession(_)) => {}
                // It ends when it has been idle.
                Err(error) => tracing::warn!(%child, %error, "a child session was not ended"),
            }
        });
    }
}

fn no_room(error: PoolError) -> Refusal {
    if let PoolError::Exhausted { .. } = &error {
        return Refusal::new(format!(
            "No child session could begin: {error}. End one that is not needed, or do the work \
             yourself."
        ));
    }
    error.into()
}
