//! How soon a claimed container has a warm successor, beside what starting one takes at least: `docker
//! run` of the same image, until `claude` in it has answered its first control request.

use std::time::Instant;

use anyhow::{Context, Result};
use ccpool_protocol::ContainerId;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::record::field;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::floor::{Floor, Weight};
use crate::gateway::{Gateway, Options};
use crate::quiet::quiet;
use crate::recipe::Recipe;
use crate::samples::Samples;
use crate::site::Site;
use crate::{Arguments, docker, model};

const NAME: &str = "rf";
/// The session whose `claude` shows how ccpool starts it.
const SHOWN: &str = "shown";
/// Room for that one, the session that is measured, the spares and one more.
const MAX_TOTAL: u64 = 6;

/// Times in ms.
#[derive(Debug, Default)]
pub(crate) struct Refill {
    /// From `docker run` to the first answer.
    pub(crate) floor: Samples,
    /// From the claim until its successor's place is taken: refill gives way to the session's first
    /// words, which are not asked for here.
    pub(crate) pause: Samples,
    /// From there until it is warm.
    pub(crate) refill: Samples,
}

/// Measures both in turns, after a round that is not counted.
///
/// # Errors
/// Something does not work.
pub(crate) async fn measure(
    arguments: &Arguments,
    rounds: usize,
    site: &mut Site,
) -> Result<Refill> {
    let network = site.name("refill");
    let host = site.network("refill").await?;
    let models = model::start(site, "refill-model", &arguments.scripted_model, &[&host]).await?;
    let options = Options {
        name: NAME,
        ccpool: &arguments.ccpool,
        redis_server: &arguments.redis_server,
        image: &arguments.image,
        network: &network,
        model: models.first().context("the model listens nowhere")?,
        max_total: MAX_TOTAL,
    };
    let gateway = Gateway::start(site, &options).await?;
    gateway.settled().await?;
    let shown = gateway.claim(SHOWN).await?;
    let label = format!("label=ccpool.container={}", shown.container);
    let shown = docker::run(&["ps", "--quiet", "--filter", &label]).await?;
    let recipe = Recipe::of(&shown).await?;
    let client = redis::Client::open(gateway.redis_url())?;
    let mut records = Records {
        keys: Keys::new(site.name(&format!("{NAME}:"))),
        connection: client.get_multiplexed_async_connection().await?,
    };
    let mut refill = Refill::default();
    for round in 0..=rounds {
        gateway.settled().await?;
        quiet().await?;
        let began = Instant::now();
        let place = (arguments.image.as_str(), network.as_str());
        let floor = Floor::boot(site, 1000 + round, place, &recipe, Weight::Usual).await?;
        let floor_ms = began.elapsed().as_secs_f64() * 1e3;
        floor.end().await?;
        quiet().await?;
        let claimed = gateway.claim(&format!("refill-{round}")).await?;
        gateway.settled().await?;
        let claimed_at = records
            .time(
                &ContainerId::new(claimed.container.as_str())?,
                field::ASSIGNED_AT,
            )
            .await?;
        let (created_at, warm_at) = records.newest().await?;
        gateway.end(&claimed.session).await?;
        if round > 0 {
            refill.floor.add(floor_ms);
            refill.pause.add(created_at - claimed_at);
            refill.refill.add(warm_at - created_at);
        }
    }
    Ok(refill)
}

/// What the gateway has written down of its containers, by the clock of Redis, in ms.
struct Records {
    keys: Keys,
    connection: MultiplexedConnection,
}

impl Records {
    async fn time(&mut self, container: &ContainerId, name: &str) -> Result<f64> {
        let record = self.keys.container(container).record;
        let at: Option<f64> = self.connection.hget(record, name).await?;
        at.with_context(|| format!("the record of {container} has no {name}"))
    }

    /// When the newest container was created, and when it became warm.
    async fn newest(&mut self) -> Result<(f64, f64)> {
        let warm: Vec<String> = self.connection.zrange(self.keys.warm(), -1, -1).await?;
        let newest = ContainerId::new(warm.first().context("none is warm")?.as_str())?;
        let created = self.time(&newest, field::CREATED_AT).await?;
        Ok((created, self.time(&newest, field::WARM_AT).await?))
    }
}
