//! The Redis users of containers come, follow what is decided, and go with their containers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ccpool::config::{RedisAcl, RedisTarget, RuntimeKind, Secret};
use ccpool::protocol::assignment::Assignment;
use ccpool::runtime::FakeRuntime;
use ccpool::store::{ClaimOutcome, ClaimTerms, Claims, RedisStore};
use ccpool::{
    ContainerId, FailureKind, GatewayId, HealthStatus, Pool, PoolError, PoolParts, RedisAddress,
    SessionId,
};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, IntoConnectionInfo};

use crate::scene::{PASSWORD, Scene};
use crate::support::{World, config, eventually};

/// The users of containers, by their names.
async fn users(world: &mut World) -> Vec<String> {
    let all: Vec<String> = redis::cmd("ACL")
        .arg("USERS")
        .query_async(&mut world.connection)
        .await
        .unwrap();
    let mut users: Vec<String> = all.into_iter().filter(|name| name != "default").collect();
    users.sort();
    users
}

/// Where a container's wrapper connects to, which nobody else is told.
fn url_of(world: &World, container: &ContainerId) -> String {
    let launch = world.runtime.launch_of(container).expect("it was started");
    let url = launch.boot.redis_url.clone();
    let said = format!("{launch:?} {:?} {:?}", world.pool, world.redis);
    let password = url.rsplit("pass=").next().unwrap();
    assert_eq!(password.len(), 64, "{}", url.len());
    assert!(!said.contains(password));
    outside(world, &url)
}

/// As seen from here: containers see the socket elsewhere.
fn outside(world: &World, url: &str) -> String {
    let socket = world.redis.socket().display().to_string();
    url.replace("/run/ccpool/redis.sock", &socket)
}

async fn log_in(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(url)?;
    client.get_multiplexed_async_connection().await
}

/// Whether whoever has this connection may write a session's buffer.
async fn may_write(connection: &mut MultiplexedConnection, world: &World, session: &str) -> bool {
    let key = world.session_keys(session).output_buffer;
    match connection.rpush::<_, _, usize>(key, "x").await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("NOPERM"), "{error}");
            false
        }
    }
}

fn terms(session: &SessionId) -> ClaimTerms {
    ClaimTerms {
        assignment: Assignment {
            session: session.clone(),
            agent: "main".parse().unwrap(),
            model: None,
            system_prompt: None,
            append_system_prompt: None,
            output_schema: None,
            parent: None,
        },
        max_per_agent: 9,
        heartbeat: Duration::from_secs(3600),
        gateway: GatewayId::from_random(9, "gone"),
        ticket: None,
        keep: Duration::from_secs(1),
    }
}

#[tokio::test]
async fn a_user_comes_with_its_container_follows_its_claim_and_goes_with_it() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let container = world.containers().await.remove(0);
    let record = world.keys.container(&container).record;
    assert_eq!(users(&mut world).await, [record.as_str()]);

    let mut inside = log_in(&url_of(&world, &container)).await.unwrap();
    assert!(!may_write(&mut inside, &world, "s1").await);
    assert_eq!(world.claim("s1").await, container);
    assert!(may_write(&mut inside, &world, "s1").await);
    assert!(!may_write(&mut inside, &world, "s2").await);

    world
        .pool
        .end(&SessionId::new("s1").unwrap())
        .await
        .unwrap();
    eventually("the user is gone", async || {
        let users = users(&mut world).await;
        (!users.contains(&record)).then_some(())
    })
    .await;
    let cut: redis::RedisResult<()> = inside.rpush("x", "x").await;
    assert!(cut.is_err(), "its connection has ended");
    let refused = log_in(&url_of(&world, &container)).await;
    assert!(refused.is_err());

    world.pool.shutdown(Duration::from_millis(100)).await;
    assert!(users(&mut world).await.is_empty());
}

/// Redis keeps users and scripts in memory alone, so a restart loses them and keeps the keys.
#[tokio::test]
async fn users_that_redis_has_lost_are_made_again_and_strangers_removed() {
    let mut world = World::new(config(1, 3)).await;
    world.warm(1).await;
    let serving = world.claim("s1").await;
    world.warm(1).await;
    let mut known = world.containers().await;
    known.sort();
    let () = redis::cmd("SAVE")
        .query_async(&mut world.connection)
        .await
        .unwrap();
    redis::cmd("SHUTDOWN")
        .arg("NOSAVE")
        .exec_async(&mut world.connection)
        .await
        .unwrap_err();
    let mut server = world.restart_redis().await;
    let stranger = world.keys.container(&ContainerId::from_random(7)).record;
    let () = redis::cmd("ACL")
        .arg(&["SETUSER", &stranger, "on"])
        .query_async(&mut world.connection)
        .await
        .unwrap();

    let expected: Vec<String> = known
        .iter()
        .map(|container| world.keys.container(container).record)
        .collect();
    eventually("the users are as the containers", async || {
        // The puppets are still there.
        for container in &known {
            world.report_ready(container).await;
        }
        (users(&mut world).await == expected).then_some(())
    })
    .await;
    for container in &known {
        let mut inside = log_in(&url_of(&world, container)).await.unwrap();
        let serves = may_write(&mut inside, &world, "s1").await;
        assert_eq!(serves, *container == serving, "{container}");
    }
    eventually("what wrappers call is loaded", async || {
        let sha = redis::Script::new(ccpool::protocol::scripts::PUBLISH);
        let loaded: Vec<bool> = redis::cmd("SCRIPT")
            .arg("EXISTS")
            .arg(sha.get_hash())
            .query_async(&mut world.connection)
            .await
            .unwrap();
        loaded[0].then_some(())
    })
    .await;
    server.kill().await.unwrap();
}

#[tokio::test]
async fn a_claim_whose_gateway_died_before_it_told_the_container_is_carried_on() {
    for acl in [RedisAcl::On, RedisAcl::Off] {
        let mut config = config(1, 2);
        config.redis.acl = acl;
        let mut world = World::new(config).await;
        world.warm(1).await;
        let info = world.redis.url().expose().into_connection_info().unwrap();
        let keys = world.keys.clone();
        let dying = RedisStore::connect(info, keys, 1000).await.unwrap();
        let session = SessionId::new("s1").unwrap();
        let ClaimOutcome::Claimed { container, .. } = dying.claim(&terms(&session)).await.unwrap()
        else {
            panic!("one is warm")
        };
        drop(dying);
        let inbox = world.keys.container(&container).inbox;
        let told = eventually("the container is told", async || {
            let told: Vec<String> = world.connection.lrange(&inbox, 0, -1).await.unwrap();
            (!told.is_empty()).then_some(told)
        })
        .await;
        assert_eq!(told, [r#"{"session":"s1","agent":"main"}"#]);
        if acl == RedisAcl::On {
            let mut inside = log_in(&url_of(&world, &container)).await.unwrap();
            assert!(may_write(&mut inside, &world, "s1").await);
        }
        // Whoever comes second does not tell it twice.
        let again = world.pool.claim(ccpool::ClaimRequest {
            session: Some(session),
            ..ccpool::ClaimRequest::default()
        });
        assert!(!again.await.unwrap().created);
        let told: usize = world.connection.llen(&inbox).await.unwrap();
        assert_eq!(told, 1);
    }
}

/// A claim is made of two steps: one binds, one gives the rights and tells the container.
#[tokio::test]
async fn a_claim_takes_two_scripts() {
    async fn scripts(world: &mut World) -> u64 {
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut world.connection)
            .await
            .unwrap();
        let calls = |command: &str| {
            let start = format!("cmdstat_{command}:calls=");
            let line = stats.lines().find_map(|line| line.strip_prefix(&start));
            let calls = line.and_then(|line| line.split(',').next());
            calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
        };
        calls("evalsha") + calls("eval")
    }
    let mut config = config(1, 1);
    // Nobody looks of his own accord.
    config.timeouts.health_interval = Duration::from_secs(3600);
    let mut world = World::new(config).await;
    world.warm(1).await;
    // The first of each is sent twice: Redis does not know the script yet.
    let sha = redis::Script::new(include_str!("../../lua/claim.lua"));
    sha.load_async(&mut world.connection).await.unwrap();
    let before = scripts(&mut world).await;
    world.claim("s1").await;
    assert_eq!(scripts(&mut world).await - before, 2);
}

/// What a user may do, as the server tells it.
fn rights(admin: &mut redis::Connection, user: &str) -> redis::Value {
    let asked = redis::cmd("ACL").arg("GETUSER").arg(user).query(admin);
    asked.unwrap()
}

/// A claim changes the user that its container has, or makes it, and loads the script if that is gone.
#[tokio::test]
async fn a_claim_brings_what_redis_has_forgotten() {
    let session = "ACL SETUSER {user} ~test:cc:another:state &test:cc:another:output";
    for (forgotten, commands) in [
        ("nothing", &[][..]),
        ("the user", &["ACL DELUSER {user}"]),
        ("the script", &["SCRIPT FLUSH"]),
        ("both", &["ACL DELUSER {user}", "SCRIPT FLUSH"]),
        // The user stays when a Redis is emptied, and what it was let into before.
        ("its keys alone", &[session]),
        ("its password", &["ACL SETUSER {user} resetpass >another"]),
    ] {
        let scene = Scene::new().await;
        let mut admin = scene.admin();
        let user = scene.users.names().name(&scene.intruder);
        for command in commands {
            let command = command.replace("{user}", &user);
            let mut words = command.split(' ');
            let mut command = redis::cmd(words.next().unwrap());
            let () = command
                .arg(words.collect::<Vec<_>>())
                .query(&mut admin)
                .unwrap();
        }
        scene.claim("mine", &scene.intruder).await;
        let inbox = scene.container(&scene.intruder).inbox;
        let told: Vec<String> = redis::Commands::lrange(&mut admin, inbox, 0, -1).unwrap();
        assert_eq!(
            told,
            [r#"{"session":"mine","agent":"main"}"#],
            "{forgotten}"
        );
        let claimed = rights(&mut admin, &user);
        let () = redis::cmd("ACL")
            .arg("DELUSER")
            .arg(&user)
            .query(&mut admin)
            .unwrap();
        scene.users.admit(&scene.intruder).await.unwrap();
        assert_eq!(claimed, rights(&mut admin, &user), "{forgotten}");
        let socket = scene.redis.socket().display();
        let url = format!("unix://{socket}?user={user}&pass={PASSWORD}");
        let mut inside = log_in(&url).await.unwrap();
        let input = scene.session("mine").inflight;
        let _: usize = inside.rpush(input, "x").await.unwrap();
        scene.redis.stop().await;
    }
}

#[tokio::test]
async fn what_holds_nobody_back_is_told_and_is_in_the_way_of_nothing() {
    let mut config = config(1, 1);
    let mut world = World::new(config.clone()).await;
    world.warm(1).await;
    let health = world.pool.health().await;
    assert_eq!(
        (health.status, &health.warnings[..]),
        (HealthStatus::Ok, &[][..])
    );

    config.redis.acl = RedisAcl::Off;
    let mut world = World::new(config).await;
    world.warm(1).await;
    let health = world.pool.health().await;
    assert_eq!(health.status, HealthStatus::Ok);
    assert!(
        health.warnings[0].starts_with("redis.acl is off"),
        "{:?}",
        health.warnings
    );
    let container = world.containers().await.remove(0);
    let launch = world.runtime.launch_of(&container).unwrap();
    let told = outside(&world, &launch.boot.redis_url);
    assert_eq!(told, world.redis.url().expose());
    assert!(users(&mut world).await.is_empty());
    world.claim("s1").await;
}

/// A pool at a server of somebody else's.
async fn start_at(url: &str, acl: RedisAcl, dir: &std::path::Path) -> Result<Pool, PoolError> {
    let mut config = config(0, 1);
    config.redis.acl = acl;
    config.runtime = RuntimeKind::Process;
    config.data_dir = dir.to_owned();
    config.redis.url = RedisTarget::Embedded;
    let redis = RedisAddress::resolve(&config, Some(&Secret::new(url)), None).unwrap();
    Pool::start(PoolParts {
        config: Arc::new(config),
        runtime: Arc::new(FakeRuntime::default()),
        redis,
        mcp_url: None,
        credentials: BTreeMap::new(),
    })
    .await
}

#[tokio::test]
async fn a_server_that_keeps_no_users_for_us_is_refused_with_what_mends_it() {
    let world = World::new(config(0, 1)).await;
    let dir = tempfile::tempdir().unwrap();
    let mut admin = world.connection.clone();
    let all = ["~clawdbot:cc:*", "&clawdbot:cc:*", "+@all"];
    for (user, rules) in [
        ("limited", &["-acl"][..]),
        ("reader", &["-acl|setuser"]),
        ("full", &[]),
    ] {
        let () = redis::cmd("ACL")
            .arg("SETUSER")
            .arg(&[user, "on", ">fake-gateway-password"])
            .arg(&all)
            .arg(rules)
            .query_async(&mut admin)
            .await
            .unwrap();
    }
    let socket = world.redis.socket().display();
    let url = |user: &str| format!("unix://{socket}?user={user}&pass=fake-gateway-password");
    for user in ["limited", "reader"] {
        let error = start_at(&url(user), RedisAcl::On, dir.path())
            .await
            .unwrap_err();
        let said = error.to_string();
        assert_eq!(error.kind(), FailureKind::Unavailable);
        assert!(
            said.starts_with("redis.acl is on, but Redis refuses"),
            "{said}"
        );
        let right = said.contains("no permissions to run the 'acl|setuser' command");
        assert!(right && !said.contains("fake-gateway-password"), "{said}");
        let mend = error.mend().unwrap();
        assert!(
            mend.contains("`ACL`") && mend.contains("redis.acl: off"),
            "{mend}"
        );
    }
    let pool = start_at(&url("limited"), RedisAcl::Off, dir.path())
        .await
        .unwrap();
    pool.shutdown(Duration::ZERO).await;
    // What the manual says that a user needs is enough.
    let pool = start_at(&url("full"), RedisAcl::On, dir.path())
        .await
        .unwrap();
    assert!(pool.health().await.warnings.is_empty());
    pool.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_without_a_password_is_told() {
    let world = World::new(config(0, 1)).await;
    let dir = tempfile::tempdir().unwrap();
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", ""])
        .query_async(&mut world.connection.clone())
        .await
        .unwrap();
    let url = format!("unix://{}", world.redis.socket().display());
    let pool = start_at(&url, RedisAcl::On, dir.path()).await.unwrap();
    let health = pool.health().await;
    assert_eq!(health.status, HealthStatus::Ok);
    let warnings = &health.warnings;
    assert!(warnings[0].contains("needs no password"), "{warnings:?}");
    assert!(warnings[0].contains("requirepass"), "{warnings:?}");
    pool.shutdown(Duration::ZERO).await;
}
