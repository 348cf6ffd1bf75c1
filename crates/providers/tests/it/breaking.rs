//! When a provider is not asked at all.

use std::time::Duration;

use ccpool::FailureKind;
use ccpool::protocol::event::Event;
use futures::StreamExt;

use crate::chain::World;
use crate::fake::{Act, delta, failed, started};

const SECOND: Duration = Duration::from_secs(1);

fn refusals(kind: FailureKind, count: usize) -> Vec<Act> {
    vec![Act::Refuse(kind, None); count]
}

/// Kinds that speak against a provider.
const AGAINST: [FailureKind; 7] = [
    FailureKind::Unavailable,
    FailureKind::Auth,
    FailureKind::RateLimited,
    FailureKind::Overloaded,
    FailureKind::Stalled,
    FailureKind::ContainerLost,
    FailureKind::Internal,
];

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_are_enough_before_output_and_after() {
    for kind in FailureKind::ALL {
        let seen = failed(kind, |failed| failed.visible_output = true);
        let told = Act::Tell(vec![started(), delta("half"), seen]);
        for act in [Act::Refuse(kind, None), told] {
            let world = World::new();
            world.docker.will(vec![act.clone(); 3]);
            for _ in 0..3 {
                if let Ok(reply) = world.ask().await {
                    let _: Vec<_> = reply.events.collect().await;
                }
            }
            world.who();
            let reply = world.ask().await.expect("somebody answers");
            let is_open = AGAINST.contains(&kind);
            assert_eq!(reply.provider == "claude-cli", is_open, "{act:?}");
            if is_open {
                assert_eq!(world.who(), ["cli"], "{act:?}");
                assert_eq!(reply.passed[0].kind, kind);
                assert!(
                    reply.passed[0].message.contains("1000 ms"),
                    "{:?}",
                    reply.passed
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_to_wait_is_left_alone_for_so_long() {
    for kind in AGAINST {
        let world = World::new();
        world.docker.will([Act::Refuse(kind, Some(SECOND * 20))]);
        world.heard().await;
        assert_eq!(world.who(), ["docker", "cli"], "{kind}");
        tokio::time::advance(SECOND * 19).await;
        world.heard().await;
        assert_eq!(world.who(), ["cli"], "{kind}");
        tokio::time::advance(SECOND).await;
        world.heard().await;
        assert_eq!(world.who(), ["docker"], "{kind}");
    }
    // A pool without a free container still serves those who have one.
    let world = World::new();
    world
        .docker
        .will([Act::Refuse(FailureKind::Exhausted, Some(SECOND * 20))]);
    world.heard().await;
    world.heard().await;
    assert_eq!(world.who(), ["docker", "docker", "cli"]);
}

#[tokio::test(start_paused = true)]
async fn one_probes_while_the_others_pass_by() {
    let world = World::new();
    world.docker.will(refusals(FailureKind::Stalled, 3));
    for _ in 0..3 {
        world.heard().await;
    }
    tokio::time::advance(SECOND).await;
    world.who();
    world.docker.will([Act::Stop(vec![started()])]);
    let mut probe = Box::pin(world.ask());
    assert!(futures::poll!(&mut probe).is_pending());
    assert_eq!(world.who(), ["docker"]);
    world.heard().await;
    assert_eq!(world.who(), ["cli"]);
    // Nobody waits for it any more: the next one probes.
    drop(probe);
    world.heard().await;
    assert_eq!(world.who(), ["docker"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_speaks_lets_the_others_in() {
    let world = World::new();
    world.docker.will(refusals(FailureKind::Stalled, 3));
    for _ in 0..3 {
        world.heard().await;
    }
    tokio::time::advance(SECOND).await;
    world.who();
    world
        .docker
        .will([Act::Stop(vec![started(), delta("half")])]);
    let speaking = world.ask().await.expect("an answer");
    assert_eq!(speaking.provider, "docker-claude-code");
    world.heard().await;
    assert_eq!(world.who(), ["docker", "docker"]);
    drop(speaking);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_makes_the_pause_longer() {
    let world = World::new();
    world.docker.will(refusals(FailureKind::Unavailable, 3));
    for _ in 0..3 {
        world.heard().await;
    }
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        world.who();
        tokio::time::advance(SECOND * pause - Duration::from_millis(1)).await;
        world.heard().await;
        assert_eq!(world.who(), ["cli"], "{pause}");
        tokio::time::advance(Duration::from_millis(1)).await;
        world.docker.will(refusals(FailureKind::Unavailable, 1));
        world.heard().await;
        assert_eq!(world.who(), ["docker", "cli"], "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_ask_to_wait_nobody_is_asked_and_the_first_to_open_is_named() {
    let world = World::new();
    for (fake, wait) in [(&world.docker, 60), (&world.cli, 7), (&world.api, 90)] {
        fake.will([Act::Refuse(FailureKind::RateLimited, Some(SECOND * wait))]);
    }
    world.ask().await.expect_err("nobody answers");
    world.who();
    tokio::time::advance(SECOND * 2).await;
    let refused = world.ask().await.expect_err("nobody is asked");
    assert!(world.who().is_empty());
    assert_eq!(refused.kind, FailureKind::RateLimited);
    assert_eq!(refused.retry_after, Some(SECOND * 5));
    assert_eq!(refused.passed.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn when_all_have_failed_they_are_asked_all_the_same() {
    let world = World::new();
    for fake in [&world.docker, &world.cli, &world.api] {
        fake.will(refusals(FailureKind::Unavailable, 4));
    }
    for round in 0..4 {
        let refused = world.ask().await.expect_err("nobody answers");
        assert_eq!(refused.passed.len(), 3, "{round}");
        assert_eq!(world.who(), ["docker", "cli", "api"], "{round}");
    }
    // The first of them works again, and the next one is there for others once more.
    assert_eq!(
        world.ask().await.expect("an answer").provider,
        "docker-claude-code"
    );
    assert_eq!(world.who(), ["docker"]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_wait_is_left_out_of_the_last_resort() {
    let world = World::new();
    let wait = Some(SECOND * 20);
    world
        .docker
        .will([Act::Refuse(FailureKind::RateLimited, wait)]);
    world.cli.will(refusals(FailureKind::Stalled, 4));
    world.api.will(refusals(FailureKind::Overloaded, 4));
    for _ in 0..4 {
        world.ask().await.expect_err("nobody answers");
    }
    world.who();
    let reply = world.ask().await.expect("the next one works again");
    assert_eq!(reply.provider, "claude-cli");
    assert_eq!(reply.passed.len(), 1);
    assert_eq!(reply.passed[0].kind, FailureKind::RateLimited);
    assert_eq!(world.who(), ["cli"]);
}

#[tokio::test(start_paused = true)]
async fn a_success_in_between_forgives() {
    let world = World::new();
    for _ in 0..4 {
        world.docker.will(refusals(FailureKind::Overloaded, 2));
        for _ in 0..3 {
            world.heard().await;
        }
        assert_eq!(world.who(), ["docker", "docker", "docker", "cli", "cli"]);
    }
    let events: Vec<Event> = world.heard().await;
    assert_eq!(events.len(), 3);
}
