//! `ccpool serve` as a child process, for either runtime.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ccpool_scripted_model::{ScriptFile, ScriptedModel};
use ccpool_testing::RedisServer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::parts::{PATIENCE, ccpool, claude, wrapper};
use crate::sse::SseReader;

/// What a gateway is started with. The defaults are the process runtime with one warm container.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The configuration file, without `redis`, `dataDir` and `claude.path`, which are added.
    pub(crate) config: Value,
    /// Where the scripted model listens; it must be reachable from containers.
    pub(crate) model: SocketAddr,
    /// What the model says.
    pub(crate) script: ScriptFile,
    /// Environment and arguments of the gateway beyond those that every one gets.
    pub(crate) more: More,
}

/// Goes before what every gateway is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct More {
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) arguments: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: json!({"runtime": "process", "pool": {"minWarm": 1, "maxTotal": 4}}),
            model: "127.0.0.1:0".parse().expect("an address"),
            script: ScriptFile::builtin(),
            more: More::default(),
        }
    }
}

impl Setup {
    /// With another value at a top-level key of the configuration.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// With an argument more for `ccpool serve`.
    pub(crate) fn with_argument(mut self, argument: &'static str) -> Self {
        self.more.arguments.push(argument);
        self
    }

    /// With a variable more in the gateway's environment.
    pub(crate) fn with_env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.more.env.push((name, value.into()));
        self
    }
}

/// A running gateway with its own Redis and its own model. Dropping it kills the process; a test
/// that is over calls [`Gateway::stop`], which checks that it stops in order.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) model: Arc<ScriptedModel>,
    config: Value,
    pub(crate) base: String,
    pub(crate) dir: Folder,
    http: reqwest::Client,
    pub(crate) redis: Arc<RedisServer>,
    more: More,
}

/// A folder of a test's own, with what a gateway finds there.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        // Short: a Unix socket's path has 107 bytes.
        Self(TempDir::with_prefix("ccp-").expect("a temporary folder can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where [`Gateway::start`] has the port written to.
    fn port_file(&self) -> PathBuf {
        self.path().join("port")
    }

    /// Where [`Gateway::start`] writes the configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("ccpool.yaml")
    }

    /// `ccpool` with a clean environment and a HOME of its own.
    pub(crate) fn ccpool(&self) -> Command {
        let mut command = Command::new(ccpool());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .current_dir(self.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Gateway {
    /// Starts everything and waits until a container is warm.
    pub(crate) async fn start(setup: Setup) -> Self {
        let gateway = Self::start_cold(setup).await;
        gateway.wait_warm(1).await;
        gateway
    }

    /// Starts everything and waits until requests are answered.
    pub(crate) async fn start_cold(setup: Setup) -> Self {
        let dir = Folder::new();
        let redis = RedisServer::start(dir.path()).await;
        let model = ScriptedModel::start_with(&[setup.model], setup.script)
            .await
            .expect("the model starts");
        let mut config = setup.config;
        config["redis"]["url"] = json!(redis.url());
        Self::serve_in(dir, config, Arc::new(redis), Arc::new(model), setup.more).await
    }

    /// Another gateway with the same configuration, Redis and model.
    pub(crate) async fn beside(&self) -> Self {
        let (redis, model) = (Arc::clone(&self.redis), Arc::clone(&self.model));
        let (config, more) = (self.config.clone(), self.more.clone());
        Self::serve_in(Folder::new(), config, redis, model, more).await
    }

    async fn serve_in(
        dir: Folder,
        mut config: Value,
        redis: Arc<RedisServer>,
        model: Arc<ScriptedModel>,
        more: More,
    ) -> Self {
        config["dataDir"] = json!(dir.path().join("data"));
        config["claude"]["path"] = json!(claude());
        // JSON is YAML.
        std::fs::write(dir.config(), config.to_string()).expect("the configuration is written");
        let child = serve(&dir, &model, "127.0.0.1:0", &more);
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut gateway = Self {
            child,
            model,
            config,
            base: String::new(),
            dir,
            http,
            redis,
            more,
        };
        gateway.wait_for_port().await;
        gateway
    }

    /// Another process in the place of the one that has ended: the same Redis, data and address.
    pub(crate) async fn restart(&mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_some(), "it still runs");
        std::fs::remove_file(self.dir.port_file()).expect("the port file can go");
        let listen = self.address().to_owned();
        self.child = serve(&self.dir, &self.model, &listen, &self.more);
        self.wait_for_port().await;
        assert_eq!(self.address(), listen);
    }

    /// Changes the configuration that the next process reads.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.dir.config()).expect("the configuration");
        let mut config = serde_json::from_str(&text).expect("it is JSON");
        change(&mut config);
        std::fs::write(self.dir.config(), config.to_string()).expect("it can be written");
    }

    /// Waits until it takes requests, and writes down where.
    async fn wait_for_port(&mut self) {
        let file = self.dir.port_file();
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let written = async {
            loop {
                look.tick().await;
                if let Ok(text) = std::fs::read_to_string(&file) {
                    return text
                        .trim()
                        .parse::<u16>()
                        .expect("the port file holds a port");
                }
                if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                    let log = std::fs::read_to_string(self.dir.path().join("log"));
                    panic!(
                        "ccpool serve ended with {status}: {}",
                        log.unwrap_or_default()
                    );
                }
            }
        };
        let port = tokio::time::timeout(PATIENCE, written)
            .await
            .expect("the gateway comes up");
        self.base = format!("http://127.0.0.1:{port}");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").expect("the base is HTTP")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.id().expect("it runs");
        Pid::from_raw(i32::try_from(pid).expect("a process id is positive"))
    }

    /// The process that runs as this container, on the process runtime.
    pub(crate) async fn wrapper_of(&self, container: &str) -> Pid {
        let record = format!("clawdbot:cc:pool:container:{container}");
        let read = self.redis().await.hget(record, "runtimeId").await;
        let pid: String = read.expect("a container is in the record");
        Pid::from_raw(pid.parse().expect("a process id"))
    }

    /// A connection to its Redis.
    pub(crate) async fn redis(&self) -> MultiplexedConnection {
        self.redis.connect().await
    }

    /// Where its Redis listens.
    pub(crate) fn redis_socket(&self) -> String {
        self.redis.socket().display().to_string()
    }

    /// What the gateway has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).expect("the log can be read")
    }

    /// A request to a path.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// The JSON at a path, which must answer 200.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self
            .request(Method::GET, path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("JSON")
    }

    /// Posts JSON, gives status and JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// Claims a session, which must be new.
    pub(crate) async fn claim(&self, session: &str) -> Value {
        let (status, claimed) = self
            .post("/api/docker-cc/sessions", &json!({"session": session}))
            .await;
        assert_eq!(status, 201, "{claimed}");
        claimed
    }

    /// Claims a session, which must be refused as unavailable; gives the problem.
    pub(crate) async fn refused_claim(&self) -> Value {
        let (status, problem) = self.post("/api/docker-cc/sessions", &json!({})).await;
        let told = (status, &problem["kind"]);
        assert_eq!(told, (503, &json!("unavailable")), "{problem}");
        problem
    }

    /// Sends a prompt and reads its events as they come.
    pub(crate) async fn stream(&self, session: &str, prompt: &str) -> SseReader {
        let path = format!("/api/docker-cc/sessions/{session}/turns");
        let body = json!({"prompt": prompt});
        let response = self
            .request(Method::POST, &path)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        SseReader::of(accepted(response).await)
    }

    /// Sends a prompt and waits for its end.
    pub(crate) async fn turn(&self, session: &str, body: &Value) -> (u16, Value) {
        let path = format!("/api/docker-cc/sessions/{session}/turns");
        let mut body = body.clone();
        body["stream"] = json!(false);
        self.post(&path, &body).await
    }

    /// Waits until so many containers are claimable.
    pub(crate) async fn wait_warm(&self, count: u64) {
        self.wait_for_pool(|pool| pool["counts"]["warm"].as_u64() >= Some(count))
            .await;
    }

    /// Waits until the pool is as wanted.
    pub(crate) async fn wait_for_pool(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let mut pool = Value::Null;
        let there = async {
            loop {
                look.tick().await;
                pool = self.get("/api/docker-cc/pool").await;
                if wanted(&pool) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            panic!(
                "the pool does not become as wanted: {pool:#}\n{}",
                self.log()
            );
        }
        pool
    }

    /// Ends it with SIGKILL, as nothing it could prepare for.
    pub(crate) async fn crash(&mut self) {
        kill(self.pid(), Signal::SIGKILL).expect("it can be killed");
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status
            .expect("it ends in time")
            .expect("a child can be waited for");
    }

    /// Ends it with SIGTERM, which must end it well.
    pub(crate) async fn terminate(&mut self) {
        kill(self.pid(), Signal::SIGTERM).expect("it can be told to stop");
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status
            .expect("it stops in time")
            .expect("a child can be waited for");
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// Ends it with SIGTERM, and nothing is left running.
    pub(crate) async fn stop(mut self) {
        self.terminate().await;
        let containers = self.dir.path().join("data/containers");
        let left = std::fs::read_dir(&containers).map_or(0, Iterator::count);
        assert_eq!(
            left,
            0,
            "folders of containers are left in {}",
            containers.display()
        );
        // The last gateway that uses it stops it.
        if let Some(model) = Arc::into_inner(self.model) {
            model.shutdown().await;
        }
    }
}

/// `ccpool serve`, with its log appended to the folder's.
fn serve(dir: &Folder, model: &ScriptedModel, listen: &str, more: &More) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.path().join("log"))
        .expect("a log can be made");
    dir.ccpool()
        .args(["serve", "--listen", listen, "--stop-timeout", "5"])
        .arg("--config")
        .arg(dir.config())
        .arg("--wrapper")
        .arg(wrapper())
        .arg("--port-file")
        .arg(dir.port_file())
        .env("ANTHROPIC_API_KEY", "sk-ant-fake")
        .env("ANTHROPIC_BASE_URL", model.base_url())
        .env("CCPOOL_LOG", "info,ccpool=debug")
        .args(&more.arguments)
        .envs(more.env.iter().cloned())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("ccpool starts")
}

/// Status and JSON of an answer.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a whole body");
    let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, json)
}

/// The response, if it is a success.
pub(crate) async fn accepted(response: Response) -> Response {
    let status = response.status();
    if !status.is_success() {
        panic!("{status}: {}", response.text().await.unwrap_or_default());
    }
    response
}
