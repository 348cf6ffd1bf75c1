//! What gateways know of each other, in Redis.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::AsyncCommands;

use super::answer::unexpected;
use super::{LookNumber, RedisStore, Register, StoreError, news};
use crate::clock::millis;
use crate::gateway::GatewayId;
use crate::standing::{Fence, Settings, Standing};

#[async_trait]
impl Register for RedisStore {
    async fn attend(
        &self,
        gateway: &GatewayId,
        keep: Duration,
        pool: &str,
    ) -> Result<Standing, StoreError> {
        self.register(gateway, keep, "attend", pool).await
    }

    async fn leave(&self, gateway: &GatewayId) -> Result<Vec<GatewayId>, StoreError> {
        let left = self.register(gateway, Duration::ZERO, "leave", "").await;
        left.map(|standing| standing.gateways)
    }

    async fn draw(&self, fence: Fence) -> Result<Option<LookNumber>, StoreError> {
        let draw = self.scripts.draw.key(self.keys.leader());
        let answer: String = { draw }
            .arg(fence.0)
            .invoke_async(&mut self.commands())
            .await?;
        match (answer.as_str(), answer.parse()) {
            (_, Ok(number)) => Ok(Some(LookNumber(number))),
            ("fenced", Err(_)) => Ok(None),
            (other, Err(_)) => Err(unexpected("draw", other)),
        }
    }

    async fn say(
        &self,
        trouble: Option<(&str, LookNumber)>,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let (why, number) = match trouble {
            Some((why, number)) => (why, number.0.to_string()),
            None => ("", String::new()),
        };
        let code: String = self
            .scripts
            .say
            .key(self.keys.leader())
            .arg(fence.0)
            .arg(why)
            .arg(number)
            .arg(self.keys.news())
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "fenced" => Ok(false),
            other => Err(unexpected("say", other)),
        }
    }

    async fn set(&self, settings: &[(&'static str, Option<String>)]) -> Result<(), StoreError> {
        let key = self.keys.settings();
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (name, value) in settings {
            match value {
                Some(value) => pipe.hset(&key, name, value),
                None => pipe.hdel(&key, name),
            }
            .ignore();
        }
        pipe.publish(self.keys.news(), news::SETTINGS).ignore();
        Ok(pipe.exec_async(&mut self.commands()).await?)
    }

    async fn nudge(&self) -> Result<usize, StoreError> {
        let mut commands = self.commands();
        Ok(commands.publish(self.keys.news(), news::CHANGED).await?)
    }
}

/// How soon a gateway is back on a Redis that was restarted.
const BACK_WITHIN: Duration = Duration::from_millis(1500);
/// How long those that are back may take to write down what they know.
const RESTORED_WITHIN: Duration = Duration::from_secs(8);

impl RedisStore {
    /// For a gateway that knew a pool before: a Redis that knows of none may have been emptied, and
    /// another gateway may be about to write down again what it knows.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn wait_restored(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        loop {
            if self.commands().exists(self.keys.pool_id()).await? {
                return Ok(());
            }
            let (_, others): (String, usize) = redis::cmd("PUBSUB")
                .arg("NUMSUB")
                .arg(self.keys.news())
                .query_async(&mut self.commands())
                .await?;
            let patience = if others > 0 {
                RESTORED_WITHIN
            } else {
                BACK_WITHIN
            };
            if began.elapsed() >= patience {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn register(
        &self,
        gateway: &GatewayId,
        keep: Duration,
        how: &str,
        pool: &str,
    ) -> Result<Standing, StoreError> {
        let (said, gateways, settings): ([String; 5], Vec<String>, HashMap<String, String>) = self
            .scripts
            .attend
            .key(self.keys.gateways())
            .key(self.keys.leader())
            .key(self.keys.settings())
            .key(self.keys.pool_id())
            .key(self.keys.claims())
            .arg(gateway.to_string())
            .arg(millis(keep))
            .arg(how)
            .arg(pool)
            .invoke_async(&mut self.commands())
            .await?;
        let [now, fence, leader, known, trouble] = said;
        let mut gateways: Vec<GatewayId> =
            gateways.iter().filter_map(|id| id.parse().ok()).collect();
        // In the order of their ids, not of their deadlines: all see the same first one.
        gateways.sort();
        Ok(Standing {
            now: now.parse().map_err(|_| unexpected("attend", &now))?,
            fence: fence.parse().ok().map(Fence),
            leader: leader.parse().ok(),
            trouble: Some(trouble).filter(|trouble| !trouble.is_empty()),
            gateways,
            settings: Settings::from_hash(&settings),
            emptied: known == "0",
            settled: true,
        })
    }
}
