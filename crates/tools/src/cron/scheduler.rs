use std::sync::Arc;
use std::time::Duration;

use ccpool::Pool;
use ccpool::config::Config;
use ccpool::store::Take;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::fire::Firing;
use super::post::Post;
use crate::Policy;
use crate::message::Channels;

/// How often it is asked what is due, at least: others make jobs, and gateways go.
const LOOK: Duration = Duration::from_secs(1);
/// Runs that one gateway carries out at the same time.
const AT_ONCE: usize = 32;

/// Carries out agents' jobs when they are due. Of several gateways one carries out each run.
///
/// ```no_run
/// # async fn example(pool: ccpool::Pool, config: ccpool::config::Config) {
/// use std::time::Duration;
/// use ccpool_tools::Scheduler;
///
/// let scheduler = Scheduler::start(&pool, &config);
/// // …
/// scheduler.shutdown(Duration::from_secs(10)).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Scheduler {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Nothing goes on when it is dropped.
    _stop: DropGuard,
}

impl Scheduler {
    /// Begins to look for what is due. Must be called within a runtime.
    pub fn start(pool: &Pool, config: &Config) -> Self {
        Self::with_post(pool, config, Arc::new(Channels::of(config)))
    }

    pub(crate) fn with_post(pool: &Pool, config: &Config, post: Arc<dyn Post>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let firing = Arc::new(Firing {
            pool: pool.clone(),
            jobs: pool.jobs(),
            policy: Policy::of(config),
            post,
            config: config.tools.cron.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        tasks.spawn(look(firing));
        Self {
            tasks,
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Takes nothing any more. What has not reached its session is given back, for another gateway or
    /// the next start; messages under way are waited for, up to the deadline.
    pub async fn shutdown(&self, deadline: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some jobs were still being carried out");
        }
    }
}

async fn look(firing: Arc<Firing>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut away = false;
    loop {
        // Nothing is lost when it stops while it waits for one.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = firing.stop.cancelled() => return,
        };
        let Ok(place) = place else { return };
        // Not given up in the middle: what was taken must be carried out.
        let wait = match firing.jobs.take(firing.lease()).await {
            Ok(Take::Taken(taken)) => {
                let carrier = Arc::clone(&firing);
                firing.tasks.spawn(async move {
                    carrier.carry_out(*taken).await;
                    drop(place);
                });
                away = false;
                continue;
            }
            Ok(Take::Nothing { wait }) => {
                away = false;
                wait.unwrap_or(LOOK).min(LOOK)
            }
            Err(error) => {
                // Said once, not every second.
                if !away {
                    tracing::warn!(%error, "cannot see which jobs are due");
                }
                away = true;
                LOOK
            }
        };
        drop(place);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = firing.stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
