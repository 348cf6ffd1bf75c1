//! A Redis with an intruder's container and somebody else's session, for the attack on it.

use std::collections::BTreeMap;
use std::time::Duration;

use ccpool::config::RedisTarget;
use ccpool::protocol::assignment::Assignment;
use ccpool::protocol::keys::{ContainerKeys, Keys, SessionKeys};
use ccpool::store::{
    ClaimOutcome, ClaimTerms, Claims, RedisStore, RedisUsers, Register, Reservation, Store,
};
use ccpool::{ContainerId, EmbeddedRedis, GatewayId, RedisAddress, SessionId};
use redis::{Commands, Connection, IntoConnectionInfo, Value};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{config, now};

const POOL: &str = "0123456789abcdef";
const JOB: &str = "j-00005ec7e700";

fn gateway() -> GatewayId {
    GatewayId::from_random(1, "here")
}

/// Of the intruder's user.
pub(crate) const PASSWORD: &str = "fake-password-of-the-intruder";

/// A server with the intruder's container and somebody else's session on another one.
pub(crate) struct Scene {
    pub(crate) redis: EmbeddedRedis,
    store: RedisStore,
    pub(crate) users: RedisUsers,
    pub(crate) keys: Keys,
    pub(crate) intruder: ContainerId,
    pub(crate) other: ContainerId,
    _dir: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = EmbeddedRedis::start(dir.path()).await.unwrap();
        let mut config = config(0, 4);
        config.redis.url = RedisTarget::Embedded;
        let address = RedisAddress::resolve(&config, Some(&redis.url()), None).unwrap();
        let info = address.url.expose().into_connection_info().unwrap();
        let keys = Keys::new("test:cc:");
        let store = RedisStore::connect(info, keys.clone(), 1000).await.unwrap();
        let users = store.users();
        users.load_scripts().await.unwrap();
        store.pool_id(POOL).await.unwrap();
        let (intruder, other) = (ContainerId::from_random(1), ContainerId::from_random(2));
        let scene = Self {
            redis,
            store,
            users,
            keys,
            intruder,
            other,
            _dir: dir,
        };
        scene.warm(&scene.other, "fake-password-of-the-other").await;
        scene.claim("theirs", &scene.other).await;
        scene.fill();
        scene.warm(&scene.intruder, PASSWORD).await;
        scene
    }

    pub(crate) fn admin(&self) -> Connection {
        let client = redis::Client::open(self.redis.url().expose()).unwrap();
        client.get_connection().unwrap()
    }

    async fn warm(&self, container: &ContainerId, password: &str) {
        let hash = hex::encode(Sha256::digest(password));
        let gateway = gateway();
        let keep = Duration::from_secs(3600);
        let attended = self.store.attend(&gateway, keep, POOL).await.unwrap();
        let place = Reservation {
            container: container.clone(),
            cap: 4,
            fingerprint: "f".to_owned(),
            token_hash: "t".to_owned(),
            acl_hash: Some(hash),
            host: gateway.host().to_owned(),
        };
        let fence = attended.fence.unwrap();
        self.store.reserve(&place, fence).await.unwrap();
        self.users.admit(container).await.unwrap();
        let report = [("readyAt", now()), ("heartbeat", now())];
        let key = self.keys.container(container).report;
        let () = self.admin().hset_multiple(key, &report).unwrap();
        assert!(
            self.store
                .promote(container, false, Some(fence))
                .await
                .unwrap()
        );
    }

    pub(crate) async fn claim(&self, session: &str, expected: &ContainerId) {
        let session = SessionId::new(session).unwrap();
        let terms = ClaimTerms {
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
            gateway: gateway(),
            ticket: None,
            keep: Duration::from_secs(1),
        };
        match self.store.claim(&terms).await.unwrap() {
            ClaimOutcome::Claimed {
                container,
                acl_hash,
                number,
            } => {
                assert_eq!(container, *expected);
                let hash = acl_hash.as_deref();
                self.users
                    .deliver(&container, &session, hash, number)
                    .await
                    .unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn session(&self, session: &str) -> SessionKeys {
        self.keys.session(&SessionId::new(session).unwrap())
    }

    pub(crate) fn container(&self, container: &ContainerId) -> ContainerKeys {
        self.keys.container(container)
    }

    /// What a session has while it lives, and a key of every other type.
    fn fill(&self) {
        let mut admin = self.admin();
        let keys = self.session("theirs");
        let () = admin.rpush(&keys.input, &["secret-1", "secret-2"]).unwrap();
        let () = admin.rpush(&keys.inflight, "secret-3").unwrap();
        let () = admin.rpush(&keys.output_buffer, "secret-4").unwrap();
        let () = admin.set(&keys.result, "secret-5").unwrap();
        let job = [
            ("agent", "main"),
            ("plan", "secret-10"),
            ("state", "waiting"),
        ];
        let () = admin.hset_multiple(self.keys.cron_job(JOB), &job).unwrap();
        let () = admin.zadd(self.keys.cron_due(), JOB, 1).unwrap();
        let agent = self.keys.cron_agent(&"main".parse().unwrap());
        let () = admin.sadd(agent, JOB).unwrap();
        for key in self.conversations() {
            let () = admin.set(key, "secret-11").unwrap();
        }
        let () = admin
            .zadd(self.keys.conversations(), "secret-12", 1)
            .unwrap();
        for (name, command) in [
            ("zset", "ZADD"),
            ("set", "SADD"),
            ("stream", "XADD"),
            ("geo", "GEOADD"),
            ("log", "PFADD"),
        ] {
            let key = format!("{}theirs:{name}", self.keys.prefix());
            let values: &[&str] = match command {
                "ZADD" => &["1", "secret-6"],
                "XADD" => &["*", "field", "secret-7"],
                "GEOADD" => &["1", "1", "secret-8"],
                _ => &["secret-9"],
            };
            let () = redis::cmd(command)
                .arg(key)
                .arg(values)
                .query(&mut admin)
                .unwrap();
        }
    }

    /// Where conversations rest.
    fn conversations(&self) -> [String; 2] {
        let keys = &self.keys;
        [keys.conversation("0a"), keys.conversation_named("0a")]
    }

    /// Keys and channels of others: the other session's, the other container's, the pool's.
    pub(crate) fn targets(&self) -> Vec<String> {
        let session = self.session("theirs");
        let container = self.container(&self.other);
        let mut targets = vec![
            session.input,
            session.inflight,
            session.output,
            session.output_buffer,
            session.state,
            session.result,
            session.control,
            container.record,
            container.report,
            container.inbox,
            container.control,
            // Its own record is what the pool believes of it.
            self.container(&self.intruder).record,
            self.keys.sessions(),
            self.keys.warm(),
            self.keys.containers(),
            self.keys.pool_id(),
            self.keys.gateways(),
            self.keys.leader(),
            self.keys.settings(),
            self.keys.claims(),
            self.keys.waiting(),
            self.keys.tickets(),
            self.keys.fairness(),
            self.keys.news(),
            self.keys.conversations(),
            self.keys.cron_due(),
            self.keys.cron_job(JOB),
            self.keys.cron_agent(&"main".parse().unwrap()),
            "*".to_owned(),
        ];
        let planted = ["zset", "set", "stream", "geo", "log"];
        let planted = planted.map(|name| format!("{}theirs:{name}", self.keys.prefix()));
        targets.extend(planted);
        targets.extend(self.conversations());
        targets
    }

    /// Everything in the server but what is the intruder's own.
    pub(crate) fn snapshot(&self, own: &[String]) -> BTreeMap<String, String> {
        let mut admin = self.admin();
        let mut all = BTreeMap::new();
        let keys: Vec<String> = admin.keys("*").unwrap();
        for key in keys.into_iter().filter(|key| !own.contains(key)) {
            let dump: Value = redis::cmd("DUMP").arg(&key).query(&mut admin).unwrap();
            let ttl: i64 = redis::cmd("PEXPIRETIME")
                .arg(&key)
                .query(&mut admin)
                .unwrap();
            all.insert(key, format!("{ttl} {dump:?}"));
        }
        for words in [&["ACL", "LIST"][..], &["CONFIG", "GET", "*"]] {
            let answer: Vec<String> = redis::cmd(words[0])
                .arg(&words[1..])
                .query(&mut admin)
                .unwrap();
            all.insert(words.join(" "), format!("{answer:?}"));
        }
        all
    }

    /// Every command with the number of its arguments, subcommands as `name|sub` in the place of
    /// the one that they belong to.
    pub(crate) fn commands(&self) -> Vec<(String, i64)> {
        fn collect(list: Vec<Value>, all: &mut Vec<(String, i64)>) {
            for command in list {
                let Value::Array(parts) = command else {
                    panic!("{command:?}")
                };
                let name: String = redis::from_redis_value(parts[0].clone()).unwrap();
                let arity: i64 = redis::from_redis_value(parts[1].clone()).unwrap();
                match parts.get(9) {
                    Some(Value::Array(more)) if !more.is_empty() => collect(more.clone(), all),
                    _ => all.push((name, arity)),
                }
            }
        }
        let mut all = Vec::new();
        let list: Vec<Value> = redis::cmd("COMMAND").query(&mut self.admin()).unwrap();
        collect(list, &mut all);
        assert!(all.len() > 200, "{}", all.len());
        all
    }
}
