//! What gateways know of each other, in Redis.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::AsyncCommands;

use super::answer::unexpected;
use super::{RedisStore, Register, StoreError, news};
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

    async fn leave(&self, gateway: &GatewayId) -> Result<(), StoreError> {
        let left = self.register(gateway, Duration::ZERO, "leave", "").await;
        left.map(|_| ())
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

    async fn nudge(&self) -> Result<(), StoreError> {
        let mut commands = self.commands();
        let _: u64 = commands.publish(self.keys.news(), news::CHANGED).await?;
        Ok(())
    }
}

impl RedisStore {
    async fn register(
        &self,
        gateway: &GatewayId,
        keep: Duration,
        how: &str,
        pool: &str,
    ) -> Result<Standing, StoreError> {
        let (said, gateways, settings): ([String; 4], Vec<String>, HashMap<String, String>) = self
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
        let [now, fence, leader, known] = said;
        let mut gateways: Vec<GatewayId> =
            gateways.iter().filter_map(|id| id.parse().ok()).collect();
        // In the order of their ids, not of their deadlines: all see the same first one.
        gateways.sort();
        Ok(Standing {
            now: now.parse().map_err(|_| unexpected("attend", &now))?,
            fence: fence.parse().ok().map(Fence),
            leader: leader.parse().ok(),
            gateways,
            settings: Settings::from_hash(&settings),
            emptied: known == "0",
        })
    }
}
