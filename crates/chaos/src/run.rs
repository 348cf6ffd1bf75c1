//! One run: sets everything up, lets the load and the faults go, ends all of it, and judges.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ccpool_protocol::SessionId;
use ccpool_scripted_model::ScriptedModel;
use futures::future::{join_all, try_join_all};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::docker::{self, Network, NetworkName};
use crate::gateway::Gateway;
use crate::history::{Notebook, Seen};
use crate::outcome::Run;
use crate::parts::Parts;
use crate::patience;
use crate::plan::{Plan, Runtime};
use crate::processes::{MARK, Processes};
use crate::proxy::{Proxy, Upstream};
use crate::redis::RedisServer;
use crate::steps::Steps;
use crate::strike::{self, Targets};
use crate::verdict::{Kind, judge};
use crate::witness::{ContainerWitness, RedisWitness, left, still};

/// A whole run, its end included.
const LASTS: Duration = Duration::from_secs(120);
/// After the load: every turn that somebody went away from has an ending.
const SETTLES: Duration = Duration::from_secs(20);
/// After the end of the gateways.
const GOES: Duration = Duration::from_secs(3);

/// What runs share.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) parts: Parts,
    /// None where there are no containers.
    pub(crate) network: Option<Network>,
}

impl Surroundings {
    /// Does what the plan says, with everything it keeps in `dir`.
    ///
    /// # Errors
    /// It could not be set up. What goes wrong afterwards is in the outcome.
    pub(crate) async fn run(&self, plan: &Plan, dir: &Path) -> Result<Run> {
        let name = format!("{}{}", names(), plan.seed);
        let prefix = format!("{name}-");
        let sweep = Sweep {
            processes: Processes::of(&name),
            prefix: (plan.runtime == Runtime::Docker).then(|| prefix.clone()),
        };
        let notebook = Notebook::begin();
        let model = ScriptedModel::start(SocketAddr::new(self.host(plan)?, 0)).await?;
        let stage = self.stage(plan, dir, &name, &model, &notebook);
        let acted = match stage.await {
            Ok(stage) => tokio::time::timeout(LASTS, stage.act(plan)).await,
            Err(error) => {
                sweep.everything().await;
                return Err(error);
            }
        };
        let (faults, turns) = acted.unwrap_or_else(|_| {
            let hung = format!("the run is not over after {LASTS:?}");
            notebook.note(Seen::Hung(hung));
            (0, 0)
        });
        sweep.everything().await;
        note_what_was_asked(plan, &model, &notebook);
        model.shutdown().await;
        // Beside the logs, for whoever looks for the cause. It is no loss when it cannot be kept.
        let _ = std::fs::write(dir.join("history"), notebook.to_text());
        Ok(Run {
            seed: plan.seed,
            faults,
            turns,
            violations: judge(&notebook.all(), plan.max_total),
        })
    }

    /// Where Redis and the model are reached from containers too.
    fn host(&self, plan: &Plan) -> Result<IpAddr> {
        match plan.runtime {
            Runtime::Process => Ok(IpAddr::from([127, 0, 0, 1])),
            Runtime::Docker => {
                let network = self.network.as_ref();
                Ok(network.context("there is no Docker Engine")?.host)
            }
        }
    }

    async fn stage(
        &self,
        plan: &Plan,
        dir: &Path,
        name: &str,
        model: &ScriptedModel,
        notebook: &Notebook,
    ) -> Result<Stage> {
        let program = &self.parts.redis_server;
        let redis = RedisServer::start(program, &dir.join("redis"), plan.durable).await?;
        let upstream = Upstream::Unix(redis.socket());
        let redis_proxy = Proxy::start(self.host(plan)?, upstream).await?;
        let config = self.config(plan, name, redis_proxy.address());
        let start = async |n: usize| {
            let name = format!("gateway-{n}");
            let (config, model) = (config.clone(), model.base_url());
            Gateway::start(&name, dir, &self.parts, config, model, notebook.clone()).await
        };
        let gateways = try_join_all((1..=plan.gateways).map(start)).await?;
        let processes = Processes::of(name);
        let prefix = format!("{name}-");
        let containers = ContainerWitness {
            processes: processes.clone(),
            prefix: (plan.runtime == Runtime::Docker).then(|| prefix.clone()),
            notebook: notebook.clone(),
        };
        let targets = Targets {
            gateways: gateways.into_iter().map(Mutex::new).collect(),
            redis: Mutex::new(redis),
            redis_proxy,
            processes,
            prefix,
            notebook: notebook.clone(),
        };
        Ok(Stage {
            targets: Arc::new(targets),
            containers,
            notebook: notebook.clone(),
        })
    }

    /// A gateway's configuration, with times that let things happen within seconds.
    fn config(&self, plan: &Plan, name: &str, redis: SocketAddr) -> Value {
        let mut config = json!({
            "pool": {
                "minWarm": plan.min_warm,
                "maxTotal": plan.max_total,
                "maxPerAgent": plan.max_total,
                "claimTimeoutMs": 4000,
            },
            "timeouts": {
                "idleMs": 2000,
                "healthIntervalMs": 500,
                "startupMs": 20_000,
                "stallMs": 8000,
                "stopMs": 1000,
            },
            "redis": {"url": format!("redis://{redis}")},
            "claude": {"env": {MARK: name}},
            "permissions": {"allow": ["Bash"]},
        });
        match (plan.runtime, &self.network) {
            (Runtime::Docker, Some(network)) => {
                config["runtime"] = "docker".into();
                config["image"] = json!(self.parts.image);
                config["resources"] = json!({"memory": "768m", "cpus": 1.5, "pidsLimit": 200});
                let prefix = format!("{name}-");
                config["docker"] =
                    json!({"network": network.name.as_str(), "containerPrefix": prefix});
            }
            (Runtime::Docker | Runtime::Process, _) => {
                config["runtime"] = "process".into();
                config["claude"]["path"] = json!(self.parts.claude);
            }
        }
        config
    }
}

/// How often the model was asked for each prompt.
fn note_what_was_asked(plan: &Plan, model: &ScriptedModel, notebook: &Notebook) {
    let requests = model.requests();
    for (mark, prompt) in plan.prompts() {
        let text = prompt.text(&mark);
        let mut by = BTreeMap::new();
        let asked = requests
            .iter()
            .filter(|request| request.stream && request.last_user_text.contains(&text));
        for request in asked {
            *by.entry(request.session_id.clone().unwrap_or_default())
                .or_default() += 1;
        }
        notebook.note(Seen::Asked {
            prompt: mark,
            most: prompt.requests(),
            by,
        });
    }
}

/// Everything that runs.
struct Stage {
    targets: Arc<Targets>,
    containers: ContainerWitness,
    notebook: Notebook,
}

impl Stage {
    /// Gives how many faults came, and how many turns were answered.
    async fn act(self, plan: &Plan) -> (usize, usize) {
        let stop = CancellationToken::new();
        let witness = self.redis_witness(plan).await;
        let mut witnesses = JoinSet::new();
        witnesses.spawn(witness.watch(stop.clone()));
        let (containers, until) = (self.containers.clone(), stop.clone());
        witnesses.spawn(async move { containers.watch(&until).await });

        let (steps, due) = Steps::new(plan.faults.clone());
        let steps = Arc::new(steps);
        let mut load = JoinSet::new();
        for client in self.clients(plan, &steps).await {
            load.spawn(client.play());
        }
        // The strikes are over when the last client has gone.
        drop(steps);
        let strikes = strike::all(Arc::clone(&self.targets), due);
        let (faults, turns) = tokio::join!(strikes, load.join_all());
        self.happened("the load is over");
        self.note_what_lives_on().await;
        self.settle(plan).await;
        self.happened("every turn has ended");
        let gateways = self.targets.gateways.iter();
        let stops = gateways.map(async |gateway| {
            if let Err(error) = gateway.lock().await.stop().await {
                self.notebook.note(Seen::Broken(format!("{error:#}")));
            }
        });
        join_all(stops).await;
        self.happened("the gateways have stopped");
        stop.cancel();
        witnesses.join_all().await;
        self.note_what_is_left().await;
        (faults, turns.into_iter().sum())
    }

    async fn redis_witness(&self, plan: &Plan) -> RedisWitness {
        let sessions = plan.scripts.iter();
        let sessions = sessions.filter_map(|script| SessionId::new(&script.session).ok());
        RedisWitness {
            socket: self.targets.redis.lock().await.socket(),
            sessions: sessions.collect(),
            notebook: self.notebook.clone(),
            noted: Default::default(),
        }
    }

    async fn clients(&self, plan: &Plan, steps: &Arc<Steps>) -> Vec<Client> {
        let mut addresses = Vec::new();
        for gateway in &self.targets.gateways {
            addresses.push(gateway.lock().await.proxy.address());
        }
        // Every request its own connection, as from many clients.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client without TLS can be made");
        let client = |(n, script): (u64, &crate::plan::Script)| Client {
            script: script.clone(),
            gateways: addresses.clone(),
            dice: SmallRng::seed_from_u64(plan.seed.wrapping_mul(31).wrapping_add(n)),
            http: http.clone(),
            notebook: self.notebook.clone(),
            steps: Arc::clone(steps),
            told: 0,
        };
        (1..).zip(&plan.scripts).map(client).collect()
    }

    fn happened(&self, what: &str) {
        self.notebook.note(Seen::Happened(what.to_owned()));
    }

    /// Turns that nobody waits for end too.
    async fn settle(&self, plan: &Plan) {
        let ended = || {
            let found = judge(&self.notebook.all(), plan.max_total);
            let open = found.iter().any(|v| v.kind == Kind::MissingTerminal);
            ready((!open).then_some(()))
        };
        // What has not ended by then is judged.
        let _ = patience::until(SETTLES, ended).await;
    }

    async fn note_what_lives_on(&self) {
        let socket = self.targets.redis.lock().await.socket();
        match patience::until(SETTLES, || still(&socket)).await {
            Some(owners) => self.notebook.note(Seen::Still(owners)),
            None => {
                let hung = "an emptied Redis is not written down again".to_owned();
                self.notebook.note(Seen::Hung(hung));
            }
        }
    }

    async fn note_what_is_left(&self) {
        let socket = self.targets.redis.lock().await.socket();
        let gone = patience::until(GOES, || async {
            let left = left(&self.containers, &socket).await;
            left.is_empty().then_some(())
        });
        if gone.await.is_none() {
            for what in left(&self.containers, &socket).await {
                self.notebook.note(Seen::Left(what));
            }
        }
    }
}

/// What the name of every run of this program begins with.
fn names() -> String {
    format!("chaos-{}-", std::process::id())
}

/// For a program that was told to stop: what its runs have started, and their network, goes too.
pub(crate) async fn sweep() {
    let sweep = Sweep {
        processes: Processes::of(&names()),
        prefix: Some(names()),
    };
    sweep.everything().await;
    // There is none without containers.
    let _ = NetworkName::of_this_program().remove().await;
}

/// Whatever happened, nothing of a run outlives it.
struct Sweep {
    processes: Processes,
    prefix: Option<String>,
}

impl Sweep {
    async fn everything(&self) {
        if let Some(prefix) = &self.prefix
            && let Ok(names) = docker::containers(prefix).await
        {
            for name in names {
                // The violation says what was there.
                let _ = docker::remove(&name).await;
            }
        }
        for process in self.processes.all() {
            process.kill();
        }
    }
}
