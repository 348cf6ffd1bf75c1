use std::time::Duration;

use anyhow::{Context, Result};
use ccpool_protocol::event::Timings;

use crate::Arguments;
use crate::first_delta::TurnTimes;
use crate::floor::{Floor, Weight};
use crate::gateway::{Gateway, MIN_WARM, Options, ServedTurn};
use crate::machine::{Machine, wrapper_rss};
use crate::one_shot::OneShots;
use crate::quiet::quiet;
use crate::recipe::Recipe;
use crate::redis_hop::RedisHops;
use crate::samples::Samples;
use crate::site::Site;
use crate::{docker, model};

/// The same for everybody. The model repeats it, a word per delta.
const PROMPT: &str = "Say in one short sentence that you are ready to help.";

/// Longer than anything that a claim sets going takes, refill aside.
const AFTER_CLAIM: Duration = Duration::from_millis(500);

/// Room for the refill, the session that is looked at, and the one that is measured.
const MAX_TOTAL: u64 = 8;

/// Holds the session whose `claude` shows how ccpool starts it.
const MODEL_SESSION: &str = "shown";

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) hops: usize,
    pub(crate) diagnose: bool,
}

/// One way of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Floor,
    Ccpool,
    DockerExec,
    DockerRun,
    Host,
    WithoutRefill,
    WithoutRefillLater,
    FloorBesideBoot,
    FloorBesideLightBoot,
}

/// Turns read off `claude` itself.
#[derive(Debug, Default)]
pub(crate) struct TurnSamples {
    pub(crate) request: Samples,
    pub(crate) first_delta: Samples,
    pub(crate) result: Samples,
}

/// Turns through ccpool.
#[derive(Debug, Default)]
pub(crate) struct ServedSamples {
    /// By the client's clock.
    pub(crate) head: Samples,
    pub(crate) first_delta: Samples,
    pub(crate) end: Samples,
    /// By the timings of the terminal event.
    pub(crate) sent: Samples,
    pub(crate) request: Samples,
    pub(crate) inner_first_delta: Samples,
    pub(crate) result: Samples,
}

/// First and second turns of sessions, with the claim before them.
#[derive(Debug, Default)]
pub(crate) struct SessionSamples {
    pub(crate) claim: Samples,
    pub(crate) turns: [ServedSamples; 2],
}

/// All that was measured. Times are ms.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) rounds: usize,
    pub(crate) floor: [TurnSamples; 2],
    pub(crate) ccpool: SessionSamples,
    pub(crate) docker_exec: TurnSamples,
    pub(crate) docker_run: TurnSamples,
    pub(crate) host: TurnSamples,
    pub(crate) diagnosis: Option<Diagnosis>,
    pub(crate) hops: RedisHops,
    pub(crate) wrapper_bytes: u64,
    pub(crate) wrapper_rss: Option<u64>,
    pub(crate) machine: Machine,
    /// How often the machine was busy with something else when a measurement began, of how many
    /// that were begun.
    pub(crate) disturbed: (usize, usize),
}

/// ccpool without some of what a claim sets going.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    /// The pool is at its cap, so the claim starts no new container.
    pub(crate) without_refill: SessionSamples,
    /// So too, and the first prompt comes half a second after the claim.
    pub(crate) without_refill_later: SessionSamples,
    /// The floor, while another container boots.
    pub(crate) floor_beside_boot: [TurnSamples; 2],
    /// So too, and that container has the least CPU weight.
    pub(crate) floor_beside_light_boot: [TurnSamples; 2],
}

/// Measures everything, one way after the other in every round, so that noise hits all alike.
///
/// # Errors
/// Something does not work; being slow is no error.
pub(crate) async fn measure(arguments: &Arguments, site: &mut Site) -> Result<Measured> {
    let plan = arguments.plan();
    let mut machine = Machine::look().await?;
    let mut bench = Bench::set_up(arguments, site).await?;
    machine.claude = bench.claude_version.clone();
    let key = site.name("hop");
    let hops = RedisHops::measure(bench.gateway.redis_url(), &key, plan.hops).await?;
    machine.redis.clone_from(&hops.version);

    let mut measured = Measured {
        rounds: plan.rounds,
        floor: Default::default(),
        ccpool: SessionSamples::default(),
        docker_exec: TurnSamples::default(),
        docker_run: TurnSamples::default(),
        host: TurnSamples::default(),
        diagnosis: plan.diagnose.then(Diagnosis::default),
        hops,
        wrapper_bytes: std::fs::metadata(&arguments.wrapper)?.len(),
        wrapper_rss: bench.wrapper_rss,
        machine,
        disturbed: (0, 0),
    };
    let mut ways = vec![
        Way::Floor,
        Way::Ccpool,
        Way::DockerExec,
        Way::DockerRun,
        Way::Host,
    ];
    if plan.diagnose {
        ways.extend([Way::WithoutRefill, Way::WithoutRefillLater]);
        ways.extend([Way::FloorBesideBoot, Way::FloorBesideLightBoot]);
    }
    // The first round warms caches and is forgotten.
    for round in 0..=plan.rounds {
        if round == 0 {
            eprintln!("    warming up");
        } else {
            eprintln!("    round {round} of {}", plan.rounds);
        }
        // Whoever comes after a costly one must not always be the same.
        ways.rotate_left(1);
        for way in &ways {
            let disturbed = !bench.rested().await?;
            let gone = bench
                .go(*way, site)
                .await
                .with_context(|| format!("{way:?}"))?;
            if round > 0 {
                measured.take(*way, &gone);
                measured.disturbed.1 += 1;
                measured.disturbed.0 += usize::from(disturbed);
            }
        }
    }
    Ok(measured)
}

/// What going one way once gave.
#[derive(Debug)]
enum Gone {
    Turns(Vec<TurnTimes>),
    Session(f64, [ServedTurn; 2]),
}

struct Bench {
    image: String,
    network: String,
    recipe: Recipe,
    /// Booted beforehand, for the next time.
    floor: Option<Floor>,
    floors: usize,
    gateway: Gateway,
    /// At its cap, for the diagnosis.
    full: Option<Gateway>,
    one_shots: OneShots,
    sessions: usize,
    wrapper_rss: Option<u64>,
    claude_version: String,
}

impl Bench {
    async fn set_up(arguments: &Arguments, site: &mut Site) -> Result<Self> {
        eprintln!("    starting the model, Redis, a gateway and containers");
        let networks = [site.name("pool"), site.name("plain")];
        let pool_host = site.network("pool").await?;
        let plain_host = site.network("plain").await?;
        let hosts = ["127.0.0.1", &pool_host, &plain_host];
        let models = model::start(site, "model", &arguments.scripted_model, &hosts).await?;
        let [local, pool_model, plain_model] = &models[..] else {
            anyhow::bail!(
                "scripted-model listens at {} addresses, not 3",
                models.len()
            );
        };
        let options = |name, max_total| Options {
            name,
            ccpool: &arguments.ccpool,
            redis_server: &arguments.redis_server,
            image: &arguments.image,
            network: &networks[0],
            model: pool_model,
            max_total,
        };
        let gateway = Gateway::start(site, &options("gw", MAX_TOTAL)).await?;
        let full = match arguments.diagnose {
            true => Some(Gateway::start(site, &options("full", MIN_WARM)).await?),
            false => None,
        };
        gateway.settled().await?;
        let filter = format!("name={}", site.name("gw-"));
        let warm = docker::run(&["ps", "--quiet", "--filter", &filter]).await?;
        let wrapper_rss = wrapper_rss(warm.lines().next().context("no warm container")?).await?;

        let shown = gateway.claim(MODEL_SESSION).await?;
        let label = format!("label=ccpool.container={}", shown.container);
        let shown = docker::run(&["ps", "--quiet", "--filter", &label]).await?;
        let recipe = Recipe::of(&shown).await?;
        let form = "{{index .Config.Labels \"ccpool.claude-version\"}}";
        let claude_version = docker::run(&["inspect", "--format", form, &shown]).await?;
        let one_shots = OneShots::prepare(
            site,
            &arguments.image,
            &arguments.claude,
            (&networks[1], plain_model),
            local,
            &recipe,
        )
        .await?;
        let [network, _] = networks;
        let mut bench = Self {
            image: arguments.image.clone(),
            network,
            recipe,
            floor: None,
            floors: 0,
            gateway,
            full,
            one_shots,
            sessions: 0,
            wrapper_rss,
            claude_version,
        };
        bench.floor = Some(bench.boot_floor(site, Weight::Usual).await?);
        Ok(bench)
    }

    async fn boot_floor(&mut self, site: &Site, weight: Weight) -> Result<Floor> {
        self.floors += 1;
        let place = (self.image.as_str(), self.network.as_str());
        Floor::boot(site, self.floors, place, &self.recipe, weight).await
    }

    /// The floor while the next one boots, as a claim makes the pool boot one.
    async fn beside_boot(&mut self, site: &Site, weight: Weight) -> Result<Gone> {
        let mut floor = self.floor.take().context("no floor was booted")?;
        let (turns, next) = tokio::join!(floor_turns(&mut floor), self.boot_floor(site, weight));
        self.floor = Some(next?);
        floor.end().await?;
        Ok(Gone::Turns(turns?))
    }

    /// Waits until nothing of the last measurement goes on. False: the machine is busy otherwise.
    async fn rested(&self) -> Result<bool> {
        self.gateway.settled().await?;
        if let Some(full) = &self.full {
            full.settled().await?;
        }
        quiet().await
    }

    async fn go(&mut self, way: Way, site: &Site) -> Result<Gone> {
        match way {
            Way::Floor => {
                let mut floor = self.floor.take().context("no floor was booted")?;
                let turns = floor_turns(&mut floor).await?;
                floor.end().await?;
                self.floor = Some(self.boot_floor(site, Weight::Usual).await?);
                Ok(Gone::Turns(turns))
            }
            Way::FloorBesideBoot => self.beside_boot(site, Weight::Usual).await,
            Way::FloorBesideLightBoot => self.beside_boot(site, Weight::Least).await,
            Way::Ccpool => {
                self.sessions += 1;
                session(&self.gateway, self.sessions, Duration::ZERO).await
            }
            Way::WithoutRefill | Way::WithoutRefillLater => {
                self.sessions += 1;
                let full = self
                    .full
                    .as_ref()
                    .context("nothing to diagnose was started")?;
                let later = way == Way::WithoutRefillLater;
                let wait = if later { AFTER_CLAIM } else { Duration::ZERO };
                session(full, self.sessions, wait).await
            }
            Way::DockerExec => Ok(Gone::Turns(vec![self.one_shots.exec(PROMPT).await?])),
            Way::DockerRun => Ok(Gone::Turns(vec![self.one_shots.run(site, PROMPT).await?])),
            Way::Host => Ok(Gone::Turns(vec![self.one_shots.host(site, PROMPT).await?])),
        }
    }
}

async fn floor_turns(floor: &mut Floor) -> Result<Vec<TurnTimes>> {
    Ok(vec![floor.turn(PROMPT).await?, floor.turn(PROMPT).await?])
}

async fn session(gateway: &Gateway, number: usize, wait: Duration) -> Result<Gone> {
    let claimed = gateway.claim(&format!("s{number}")).await?;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let first = gateway.turn(&claimed.session, PROMPT).await?;
    let second = gateway.turn(&claimed.session, PROMPT).await?;
    gateway.end(&claimed.session).await?;
    Ok(Gone::Session(claimed.took_ms, [first, second]))
}

impl Measured {
    /// True when there is nothing to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.ccpool.claim.count() == 0
    }

    fn take(&mut self, way: Way, gone: &Gone) {
        match (way, gone) {
            (Way::Floor, Gone::Turns(turns)) => add_all(&mut self.floor, turns),
            (Way::DockerExec, Gone::Turns(turns)) => self.docker_exec.all(turns),
            (Way::DockerRun, Gone::Turns(turns)) => self.docker_run.all(turns),
            (Way::Host, Gone::Turns(turns)) => self.host.all(turns),
            (way, Gone::Turns(turns)) => {
                if let Some(diagnosis) = &mut self.diagnosis {
                    let samples = match way {
                        Way::FloorBesideBoot => &mut diagnosis.floor_beside_boot,
                        _ => &mut diagnosis.floor_beside_light_boot,
                    };
                    add_all(samples, turns);
                }
            }
            (way, Gone::Session(claim, turns)) => {
                let samples = match (way, &mut self.diagnosis) {
                    (Way::WithoutRefill, Some(diagnosis)) => &mut diagnosis.without_refill,
                    (Way::WithoutRefillLater, Some(diagnosis)) => {
                        &mut diagnosis.without_refill_later
                    }
                    _ => &mut self.ccpool,
                };
                samples.claim.add(*claim);
                for (samples, turn) in samples.turns.iter_mut().zip(turns) {
                    samples.add(turn);
                }
            }
        }
    }
}

fn add_all(samples: &mut [TurnSamples; 2], turns: &[TurnTimes]) {
    for (samples, turn) in samples.iter_mut().zip(turns) {
        samples.add(turn);
    }
}

impl TurnSamples {
    fn all(&mut self, turns: &[TurnTimes]) {
        for turn in turns {
            self.add(turn);
        }
    }

    fn add(&mut self, turn: &TurnTimes) {
        let pairs = [
            (&mut self.request, turn.request),
            (&mut self.first_delta, turn.first_delta),
            (&mut self.result, turn.result),
        ];
        for (samples, value) in pairs {
            if let Some(value) = value {
                samples.add(value);
            }
        }
    }
}

impl ServedSamples {
    fn add(&mut self, turn: &ServedTurn) {
        self.head.add(turn.head_ms);
        self.first_delta.add(turn.first_delta_ms);
        self.end.add(turn.end_ms);
        let Timings {
            taken_ms: _,
            sent_ms,
            request_ms,
            first_delta_ms,
            result_ms,
        } = turn.timings;
        let pairs = [
            (&mut self.sent, sent_ms),
            (&mut self.request, request_ms),
            (&mut self.inner_first_delta, first_delta_ms),
            (&mut self.result, result_ms),
        ];
        for (samples, value) in pairs {
            if let Some(value) = value {
                samples.add(value as f64);
            }
        }
    }
}
