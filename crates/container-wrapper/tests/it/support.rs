//! A Redis, a scripted model and a wrapper for one test, in a directory of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use ccpool_protocol::boot::{self, Boot, ClaudeSpawn, McpEndpoint};
use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::keys::{ContainerKeys, Keys, SessionKeys};
use ccpool_protocol::permission::Behavior;
use ccpool_protocol::record::report;
use ccpool_protocol::{ContainerId, SessionId};
use ccpool_scripted_model::ScriptedModel;
pub(crate) use ccpool_testing::{PATIENCE, eventually};
use ccpool_testing::{claude, redis_server};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const TOKEN: &str = "fake-mcp-token-5ec2e7";

/// A `redis-server` on a socket in the test's directory.
pub(crate) struct Redis {
    dir: PathBuf,
    child: Option<Child>,
}

impl Redis {
    async fn start(dir: &Path) -> Self {
        let mut redis = Self {
            dir: dir.to_owned(),
            child: None,
        };
        redis.up().await;
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.dir.join("redis.sock").display())
    }

    /// Starts it, with what it had written to disk.
    pub(crate) async fn up(&mut self) {
        let child = ccpool_testing::serve(&redis_server(), &self.dir, true);
        let child = child.expect("redis-server starts");
        self.child = Some(child);
        let client = redis::Client::open(self.url()).unwrap();
        eventually("redis-server answers", || async {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await
                .ok()
        })
        .await;
    }

    pub(crate) fn pid(&self) -> i32 {
        let child = self.child.as_ref().expect("it runs");
        i32::try_from(child.id().expect("it runs")).unwrap()
    }

    /// SIGKILL.
    pub(crate) async fn down(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.unwrap();
    }

    /// Forgets everything; while it is down.
    pub(crate) fn wipe(&self) {
        assert!(self.child.is_none(), "it must be down");
        std::fs::remove_dir_all(self.dir.join("appendonlydir")).unwrap();
    }

    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// Everything together.
pub(crate) struct Rig {
    pub(crate) redis: Redis,
    pub(crate) model: ScriptedModel,
    pub(crate) boot: Boot,
    pub(crate) container: ContainerKeys,
    pub(crate) session: SessionKeys,
    pub(crate) dir: TempDir,
    wrapper: Option<Child>,
    log: PathBuf,
}

impl Rig {
    /// Redis and the model run; the wrapper does not yet, so that `boot` can be changed.
    pub(crate) async fn prepare() -> Self {
        let claude = claude().to_str().expect("UTF-8").to_owned();
        let dir = tempfile::tempdir().unwrap();
        // The agent may have another uid.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let redis = Redis::start(dir.path()).await;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let model = ScriptedModel::start(loopback).await.unwrap();
        // By its id the wrapper knows its processes: no two may have the same.
        let unique = dir.path().to_str().unwrap().bytes();
        let unique = unique.fold(0_u64, |hash, byte| {
            hash.wrapping_mul(131).wrapping_add(u64::from(byte))
        });
        let id = ContainerId::from_random(unique);
        let keys = Keys::new("test:cc:");
        let env = [
            ("ANTHROPIC_BASE_URL", model.base_url()),
            ("ANTHROPIC_API_KEY", "sk-ant-fake".to_owned()),
        ];
        let at = |name: &str| dir.path().join(name).display().to_string();
        let boot = Boot {
            redis_url: redis.url(),
            key_prefix: keys.prefix().to_owned(),
            output_buffer: 1000,
            output_buffer_bytes: 32 << 20,
            retain_ms: 600_000,
            stop_ms: 8000,
            heartbeat_ms: 200,
            stall_ms: 120_000,
            turn_ms: None,
            permission_ms: None,
            function_ms: 600_000,
            on_permission_timeout: Behavior::Deny,
            follow_stdin: false,
            claude: ClaudeSpawn {
                path: claude,
                cwd: at("work"),
                home: at("home"),
                uid: None,
                mcp: None,
                model: Some("haiku".to_owned()),
                append_system_prompt: None,
                permission_mode: None,
                allowed_tools: vec!["Bash".to_owned()],
                disallowed_tools: Vec::new(),
                skip_permissions: false,
                background_tasks: false,
                extra_args: Vec::new(),
                env: BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value))),
            },
            container: id.clone(),
        };
        Self {
            container: keys.container(&id),
            session: keys.session(&SessionId::new("agent:main:s1").unwrap()),
            log: dir.path().join("wrapper.log"),
            redis,
            model,
            boot,
            dir,
            wrapper: None,
        }
    }

    /// With a wrapper that is ready and serves the session.
    pub(crate) async fn serving() -> Self {
        let mut rig = Self::prepare().await;
        rig.launch();
        rig.ready().await;
        rig.assign().await;
        rig
    }

    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::create(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ccpool-wrapper"))
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env(boot::ENV, self.boot.to_json())
            .stdin(if self.boot.follow_stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.wrapper = Some(child);
    }

    /// What happens to its stdin when a gateway ends.
    pub(crate) fn close_stdin(&mut self) {
        let child = self.wrapper.as_mut().expect("it was launched");
        drop(child.stdin.take().expect("stdin is a pipe"));
    }

    /// What the wrapper has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        let child = self.wrapper.as_ref().expect("it was launched");
        i32::try_from(child.id().expect("it runs")).unwrap()
    }

    /// The pid of `claude`.
    pub(crate) fn claude_pid(&self) -> i32 {
        let wrapper = self.pid();
        let children = format!("/proc/{wrapper}/task/{wrapper}/children");
        let children = std::fs::read_to_string(children).unwrap();
        children
            .split_whitespace()
            .next()
            .expect("one child")
            .parse()
            .unwrap()
    }

    pub(crate) fn signal(pid: i32, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let child = self.wrapper.as_mut().expect("it was launched");
        timeout(PATIENCE, child.wait())
            .await
            .expect("it exits in time")
            .unwrap()
    }

    pub(crate) async fn report(&self, field: &str) -> Option<String> {
        let mut connection = self.redis.connect().await;
        connection
            .hget(&self.container.report, field)
            .await
            .unwrap()
    }

    pub(crate) async fn ready(&self) {
        eventually("the wrapper is ready", || self.report(report::READY_AT)).await;
    }

    pub(crate) async fn assign(&self) {
        self.assign_with(json!({})).await;
    }

    pub(crate) async fn assign_with(&self, more: Value) {
        let mut assignment = json!({"session": "agent:main:s1", "agent": "main"});
        let more = more.as_object().unwrap().clone();
        assignment.as_object_mut().unwrap().extend(more);
        let mut connection = self.redis.connect().await;
        let json = assignment.to_string();
        connection
            .rpush::<_, _, ()>(&self.container.inbox, json)
            .await
            .unwrap();
    }

    pub(crate) async fn push(&self, item: Value) {
        self.push_raw(&item.to_string()).await;
    }

    pub(crate) async fn push_raw(&self, item: &str) {
        let mut connection = self.redis.connect().await;
        connection
            .rpush::<_, _, ()>(&self.session.input, item)
            .await
            .unwrap();
    }

    /// Publishes on the session's control channel once somebody listens.
    pub(crate) async fn control(&self, message: &str) {
        eventually("the wrapper listens for control messages", || async {
            let mut connection = self.redis.connect().await;
            let heard: i64 = connection
                .publish(&self.session.control, message)
                .await
                .unwrap();
            (heard > 0).then_some(())
        })
        .await;
    }

    pub(crate) async fn state(&self, field: &str) -> Option<String> {
        let mut connection = self.redis.connect().await;
        connection.hget(&self.session.state, field).await.unwrap()
    }

    pub(crate) async fn list(&self, key: &str) -> Vec<String> {
        let mut connection = self.redis.connect().await;
        connection.lrange(key, 0, -1).await.unwrap()
    }

    pub(crate) async fn buffer(&self) -> Vec<Envelope> {
        let buffer = self.list(&self.session.output_buffer).await;
        buffer
            .iter()
            .map(|json| Envelope::parse(json).unwrap())
            .collect()
    }

    /// The events with which turns of this name have ended so far.
    pub(crate) async fn endings(&self, turn: &str) -> Vec<Value> {
        let buffer = self.buffer().await;
        let lines = buffer
            .iter()
            .filter(|envelope| envelope.turn.as_str() == turn);
        let lines = lines.map(|envelope| serde_json::from_str(envelope.line.get()).unwrap());
        lines
            .filter(|line: &Value| line["type"] == "ccpool" && line["subtype"] == "terminal")
            .map(|mut line| line["event"].take())
            .collect()
    }

    /// The one event with which a turn ends, once it has.
    pub(crate) async fn ending(&self, turn: &str) -> Value {
        eventually(&format!("the turn {turn} ends"), || async {
            self.endings(turn).await.pop()
        })
        .await
    }

    /// Waits for a line in the buffer, by its text.
    pub(crate) async fn line(&self, part: &str) -> Envelope {
        eventually(&format!("a line with {part}"), || async {
            let mut buffer = self.buffer().await.into_iter();
            buffer.find(|envelope| envelope.line.get().contains(part))
        })
        .await
    }
}

/// The numbers of the envelopes rise by one.
pub(crate) fn assert_gapless(buffer: &[Envelope]) {
    let seqs: Vec<u64> = buffer.iter().map(|envelope| envelope.seq).collect();
    assert!(!seqs.is_empty());
    assert!(
        seqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{seqs:?}"
    );
}

/// An MCP server that nobody listens at; its token is what counts.
pub(crate) fn closed_mcp() -> McpEndpoint {
    McpEndpoint {
        // The discard port: refused at once.
        url: "http://127.0.0.1:9/mcp".to_owned(),
        token: TOKEN.to_owned(),
    }
}
