//! Carrying out one action of the plan.

use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::record::{ContainerState, field};
use ccpool_protocol::{ContainerId, FailureKind};

use crate::clock::unix_ms;
use crate::conclude::{Why, conclude};
use crate::container::Container;
use crate::failure_cause::FailureCause;
use crate::info::RecentFailure;
use crate::password::Password;
use crate::plan::{Desired, OUT_OF_MEMORY};
use crate::pool::Inner;
use crate::runtime::{Exit, Launch, RuntimeError};
use crate::standing::Fence;
use crate::store::{Condition, Reservation, Reserve, Retired, StoreError};
use crate::token::Token;

/// A wrapper that has given up ends within this.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// An action has ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// What it was about.
    pub(crate) container: ContainerId,
    /// A container became warm, or failed before it was.
    pub(crate) refill: Option<bool>,
    /// The runtime does not do what it should.
    pub(crate) trouble: Option<RuntimeError>,
}

impl Done {
    fn with(container: ContainerId) -> Self {
        Self {
            container,
            refill: None,
            trouble: None,
        }
    }
}

/// Takes a place under the cap. None: there is none, or somebody else leads by now.
pub(crate) async fn reserve(
    inner: &Inner,
    desired: &Desired,
    fence: Fence,
) -> Result<Option<Launch>, StoreError> {
    let container = ContainerId::from_random(rand::random());
    let token = Token::mint(&container);
    let print = &desired.fingerprint;
    let password = inner.launcher.password();
    let acl_hash = password.as_ref().map(Password::hash);
    let launch = inner
        .launcher
        .launch(container, &token, password.as_ref(), &inner.pool_id, print);
    let place = Reservation {
        container: launch.container.clone(),
        cap: desired.max_total,
        fingerprint: print.clone(),
        token_hash: token.hash(),
        acl_hash: acl_hash.clone(),
        host: inner.runtime.host().to_owned(),
    };
    match inner.store.reserve(&place, fence).await? {
        Reserve::Reserved => {}
        Reserve::AtCap | Reserve::Fenced => return Ok(None),
    }
    if acl_hash.is_some()
        && let Err(error) = inner.users.admit(&launch.container).await
    {
        give_back(inner, &launch.container).await;
        return Err(error);
    }
    Ok(Some(launch))
}

/// Starts a container in a reserved place.
pub(crate) async fn start(inner: &Inner, launch: Launch) -> Done {
    let mut done = Done::with(launch.container.clone());
    let id = &launch.container;
    let begun = tokio::time::Instant::now();
    match inner.runtime.start(&launch).await {
        Ok(runtime_id) => {
            metrics::histogram!("ccpool_start_seconds").record(begun.elapsed().as_secs_f64());
            tracing::info!(container = %id, "started");
            if let Err(error) = inner.store.note(id, field::RUNTIME_ID, &runtime_id).await {
                tracing::warn!(container = %id, %error, "could not write down a started container");
            }
        }
        Err(error) => {
            tracing::warn!(container = %id, %error, "could not start a container");
            FailureCause::NotStarted.count();
            inner.remember(failure(id.clone(), error.to_string(), Vec::new()));
            done.refill = Some(false);
            done.trouble = Some(error);
            give_back(inner, id).await;
        }
    }
    done
}

/// A place that nothing came into.
async fn give_back(inner: &Inner, id: &ContainerId) {
    let released = async {
        if let Some(container) = inner.store.container(id).await? {
            release(inner, &container, Duration::ZERO).await?;
        }
        Ok::<(), StoreError>(())
    };
    if let Err(error) = released.await {
        // The record stays, and fails when its start-up time is over.
        tracing::warn!(container = %id, %error, "could not give a place back");
    }
}

/// Forgets a container, and then its user: a user whose container is known would be made again.
async fn release(inner: &Inner, container: &Container, retain: Duration) -> Result<(), StoreError> {
    inner.store.release(container, retain).await?;
    match container.acl_hash {
        Some(_) => inner.users.expel(&container.id).await,
        None => Ok(()),
    }
}

/// Makes a ready container claimable.
pub(crate) async fn promote(inner: &Inner, id: ContainerId, fence: Option<Fence>) -> Done {
    let mut done = Done::with(id.clone());
    let promoted = inner.store.promote(&id, inner.tools_required, fence);
    match promoted.await {
        Ok(true) => {
            tracing::info!(container = %id, "warm");
            done.refill = Some(true);
        }
        Ok(false) => {}
        Err(error) => tracing::debug!(container = %id, %error, "could not promote"),
    }
    done
}

/// Hands a claimed container its assignment, for a claim that was cut off before it did.
pub(crate) async fn deliver(inner: &Inner, container: Container) -> Done {
    let done = Done::with(container.id.clone());
    let (Some(session), Some(claim)) = (&container.session, container.claim) else {
        return done;
    };
    let hash = container.acl_hash.as_deref();
    let told = inner.users.deliver(&container.id, session, hash, claim);
    match told.await {
        Ok(()) => tracing::info!(container = %container.id, %session, "delivered its assignment"),
        Err(error) => {
            tracing::warn!(container = %container.id, %error, "could not deliver an assignment");
        }
    }
    done
}

/// Takes over the claim of a gateway that is gone.
pub(crate) async fn adopt(inner: &Inner, container: Container, fence: Fence) -> Done {
    let done = Done::with(container.id.clone());
    let me = &inner.attendance.me;
    match inner.store.adopt(&container, me, fence).await {
        Ok(true) => tracing::info!(container = %container.id, session = ?container.session,
            from = ?container.owner, "took over a claim"),
        // It is not as it was when this was planned; it is planned anew.
        Ok(false) => {}
        Err(error) => tracing::debug!(container = %container.id, %error, "could not take over"),
    }
    done
}

/// Lets a container go in good order.
pub(crate) async fn retire(
    inner: &Arc<Inner>,
    container: Container,
    reason: &str,
    fence: Option<Fence>,
) -> Done {
    let done = Done::with(container.id.clone());
    let condition = match (&container.session, &container.activity) {
        _ if container.state == ContainerState::Draining => Condition::None,
        (Some(session), Some(activity)) => Condition::Quiet(session, activity.last_activity),
        _ => Condition::None,
    };
    let to = ContainerState::Draining;
    let session = match inner
        .store
        .retire(&container.id, to, reason, condition, fence)
        .await
    {
        Ok(Retired::Out(session)) => session,
        // Something has happened since this was planned; it is planned anew.
        Ok(Retired::Moved | Retired::Gone) => return done,
        Err(error) => {
            tracing::debug!(container = %container.id, %error, "could not retire");
            return done;
        }
    };
    tracing::info!(container = %container.id, reason, "letting go");
    if !inner.is_steward(&container.host) {
        // Whoever looks after its host does the rest.
        inner.changed();
        return done;
    }
    let why = Why {
        kind: FailureKind::Interrupted,
        message: "the session was ended before this prompt was answered",
    };
    // A claim may have come between the plan and this.
    let container = Container {
        session: session.or(container.session.clone()),
        ..container
    };
    finish(inner, container, inner.config.timeouts.stop * 2, why, done).await
}

/// Gets rid of a broken container, and keeps what it printed last.
pub(crate) async fn fail(
    inner: &Inner,
    container: Container,
    reason: String,
    cause: FailureCause,
    fence: Option<Fence>,
) -> Done {
    let mut done = Done::with(container.id.clone());
    let to = ContainerState::Failed;
    let session = match inner
        .store
        .retire(&container.id, to, &reason, Condition::None, fence)
        .await
    {
        Ok(Retired::Out(session)) => session,
        Ok(Retired::Moved | Retired::Gone) => return done,
        Err(error) => {
            tracing::debug!(container = %container.id, %error, "could not mark as failed");
            return done;
        }
    };
    let (cause, reason) = match cause {
        FailureCause::GaveUp if was_short_of_memory(inner, &container).await => {
            (FailureCause::Oom, format!("{reason} ({OUT_OF_MEMORY})"))
        }
        cause => (cause, reason),
    };
    if container.state != ContainerState::Failed {
        let log_tail = match inner.runtime.log_tail(&container.id).await {
            Ok(lines) => lines,
            Err(error) => vec![format!("(its log cannot be read: {error})")],
        };
        let (id, serving) = (&container.id, session.as_ref().map(tracing::field::display));
        tracing::warn!(container = %id, session = serving, cause = cause.as_str(), reason, "failed");
        cause.count();
        inner.remember(failure(container.id.clone(), reason.clone(), log_tail));
    }
    done.refill = container.warm_at.is_none().then_some(false);
    let message = format!("the container was lost: {reason}");
    let why = Why {
        kind: FailureKind::ContainerLost,
        message: &message,
    };
    let container = Container {
        session: session.or(container.session.clone()),
        ..container
    };
    finish(inner, container, Duration::ZERO, why, done).await
}

/// A wrapper that gives up says why, and does not know what its host knows: that `claude` was killed
/// for its use of memory.
async fn was_short_of_memory(inner: &Inner, container: &Container) -> bool {
    let exit = inner.runtime.exit(&container.id, ENDS_WITHIN);
    // Still running, gone, or out of reach: then what it said is all that is known.
    container.failure.is_some() && matches!(exit.await, Ok(Some(Exit { oom: true, .. })))
}

/// Removes it, ends its turns, forgets it. In this order: once it is gone nobody else writes into
/// its session, and once it is forgotten nobody asks for it.
async fn finish(
    inner: &Inner,
    container: Container,
    grace: Duration,
    why: Why<'_>,
    mut done: Done,
) -> Done {
    if container.host != inner.runtime.host() {
        // Its own gateway is gone, or it is about to see this container as a stranger.
        ask_to_stop(inner, &container).await;
    }
    if let Err(error) = inner.runtime.remove(&container.id, grace).await {
        tracing::warn!(container = %container.id, %error, "could not remove a container");
        done.trouble = Some(error);
        return done;
    }
    let ended = async {
        if let Some(session) = &container.session {
            match conclude(&*inner.store, session, why).await {
                // What its container has made of the session's keys must not keep the place taken.
                Err(StoreError::Broken(error)) => {
                    tracing::warn!(%session, error, "its turns cannot be ended");
                }
                concluded => concluded?,
            }
        }
        release(inner, &container, inner.config.timeouts.retain).await
    };
    match ended.await {
        Ok(()) => {}
        Err(error) => {
            tracing::warn!(container = %container.id, %error, "could not forget a container");
        }
    }
    done
}

/// The only way to reach a container on a host that nobody looks after.
async fn ask_to_stop(inner: &Inner, container: &Container) {
    let asked = inner.store.stop(&container.id, container.session.as_ref());
    if let Err(error) = asked.await {
        tracing::debug!(container = %container.id, %error, "could not ask it to stop");
    }
}

/// Removes a container that Redis does not know.
pub(crate) async fn reap(inner: &Inner, id: ContainerId) -> Done {
    let mut done = Done::with(id.clone());
    // It may have been reserved after the pool was looked at.
    match inner.store.container(&id).await {
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => return done,
    }
    tracing::warn!(container = %id, "removing a container that nobody knows");
    if let Err(error) = inner.runtime.remove(&id, Duration::ZERO).await {
        done.trouble = Some(error);
    }
    done
}

/// At the end of a gateway: everything that is left on its host, and, when it was the last one,
/// everything.
pub(crate) async fn remove_all(inner: &Arc<Inner>, last: bool) {
    let mut containers = match inner.store.containers().await {
        Ok(containers) => containers,
        Err(error) => {
            tracing::warn!(%error, "Redis is away; removing containers all the same");
            remove_unknown(inner).await;
            return;
        }
    };
    containers.retain(|container| last || container.host == inner.runtime.host());
    let mut removals = tokio::task::JoinSet::new();
    for container in containers {
        let inner = Arc::clone(inner);
        removals.spawn(async move {
            let done = Done::with(container.id.clone());
            let why = Why {
                kind: FailureKind::Interrupted,
                message: "the gateway was shut down",
            };
            let to = ContainerState::Draining;
            let retired = inner
                .store
                .retire(&container.id, to, why.message, Condition::None, None);
            if let Err(error) = retired.await {
                tracing::debug!(%error, "could not retire at shutdown");
            }
            finish(&inner, container, inner.config.timeouts.stop * 2, why, done).await;
        });
    }
    removals.join_all().await;
    remove_unknown(inner).await;
}

async fn remove_unknown(inner: &Inner) {
    for (id, _) in inner.runtime.list(&inner.pool_id).await.unwrap_or_default() {
        if let Err(error) = inner.runtime.remove(&id, inner.config.timeouts.stop).await {
            tracing::warn!(container = %id, %error, "could not remove a container");
        }
    }
}

fn failure(container: ContainerId, reason: String, log_tail: Vec<String>) -> RecentFailure {
    RecentFailure {
        at: unix_ms(),
        container,
        reason,
        log_tail,
    }
}
