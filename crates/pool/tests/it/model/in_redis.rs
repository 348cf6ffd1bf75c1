//! The same histories in Redis: every answer, and everything that can be seen, as in the model.

use ccpool::protocol::record::ContainerState;
use ccpool::store::Queue;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use proptest_state_machine::ReferenceStateMachine;
use redis::AsyncCommands;

use super::actors::Actors;
use super::histories::{Histories, History};
use super::promises::Promises;
use super::step::{AGENTS, LONG, Step};
use super::view::View;
use crate::contract::subject::{POOL, Server, Subject, agent, gateway};

#[test]
fn redis_does_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let server = runtime.block_on(Server::new());
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::with_cases(50)
    };
    let histories = Histories::sequential_strategy(1..70);
    let run = TestRunner::new(config).run(&histories, |(history, steps, seen)| {
        let seen = || {
            if let Some(seen) = &seen {
                seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        };
        runtime.block_on(compare(&server, history, &steps, seen));
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
}

async fn compare(server: &Server, mut history: History, steps: &[Step], seen: impl Fn()) {
    server.empty().await;
    server.store().pool_id(POOL).await.unwrap();
    let mut actors = Actors::default();
    // Each step is seen before it is taken apart: that is how far shrinking counts.
    let parts = steps.iter().flat_map(|step| {
        seen();
        step.parts()
    });
    for step in parts {
        let stale = actors.is_stale(step);
        let before = if stale {
            server.dump().await
        } else {
            Vec::new()
        };
        let answer = actors.step(server, step).await;
        if stale {
            assert!(before == server.dump().await, "{step:?} was of no leader");
        }
        let view = View::of(server, &mut actors).await;
        history = Histories::apply(history, step);
        assert_eq!(answer, history.answer, "{step:?} was answered otherwise");
        assert_eq!(view, history.view, "after {step:?}");
        assert_eq!(Promises::hold_in(&view, &actors), Ok(()));
        agents_are_counted(server, &view).await;
    }
    every_lease_ends(server).await;
}

/// What limits an agent is how many live sessions it has, and nothing that it had.
async fn agents_are_counted(server: &Server, view: &View) {
    let Some(containers) = &view.containers else {
        return;
    };
    for name in AGENTS {
        let key = server.keys.agent(&agent(name));
        let counted: usize = server.connection.clone().scard(key).await.unwrap();
        let live = containers
            .iter()
            .filter(|c| c.session.is_some() && c.agent == Some(agent(name)));
        assert_eq!(counted, live.count(), "sessions of {name}");
    }
}

/// After a time in which nobody comes back nobody is registered, leads or waits, and each claim is
/// taken over by exactly one.
async fn every_lease_ends(server: &Server) {
    server.pass(LONG).await;
    let (heir, other) = (gateway(8), gateway(9));
    assert_eq!(server.store().queue().await.unwrap(), Queue::default());
    assert!(server.waiting().await.is_empty());
    let standing = server.attend(&heir).await;
    assert_eq!(standing.gateways, std::slice::from_ref(&heir));
    let fence = standing.fence.expect("nobody else leads");
    assert_eq!(standing.trouble, None, "what was said went with its leader");
    if standing.emptied {
        return;
    }
    for container in server.store().containers().await.unwrap() {
        let adopt = async |heir| server.store().adopt(&container, heir, fence).await.unwrap();
        let orphaned = container.state == ContainerState::Assigned;
        let adopted = (adopt(&other).await, adopt(&heir).await);
        assert_eq!(adopted, (orphaned, false), "{container:?}");
    }
}
