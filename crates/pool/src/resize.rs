//! Changing limits while the pool runs, and stopping to take sessions.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::PoolError;
use crate::info::Limits;
use crate::pool::{Inner, Pool};
use crate::standing::Settings;

/// A change of limits. Left out: stays as it is. `Some(None)`, in JSON `null`: as configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsChange {
    /// Warm or on the way to it.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_warm: Option<Option<u32>>,
    /// In all.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_total: Option<Option<u32>>,
    /// Sessions per agent.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_per_agent: Option<Option<u32>>,
}

fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(value).map(Some)
}

impl Pool {
    /// Changes limits of the whole pool, in every gateway, until they are changed again. More
    /// containers are started at once; of those that are too many the warm ones go, and sessions are
    /// left alone. Returns the limits as they are then.
    ///
    /// # Errors
    /// `InvalidRequest` when `minWarm` would be above `maxTotal`, or a limit 0 that cannot be;
    /// `Unavailable`.
    pub async fn resize(&self, change: LimitsChange) -> Result<Limits, PoolError> {
        let inner = &*self.inner;
        inner.attendance.renew(&*inner.store).await?;
        let now = *inner.attendance.known().settings();
        let limits = inner.limits(&changed(now, change));
        check(&limits)?;
        let text = |value: Option<u32>| value.map(|value| value.to_string());
        let fields = [
            (Settings::MIN_WARM, change.min_warm),
            (Settings::MAX_TOTAL, change.max_total),
            (Settings::MAX_PER_AGENT, change.max_per_agent),
        ];
        let given: Vec<_> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, text(value?))))
            .collect();
        inner.set(&given).await?;
        tracing::info!(?limits, "resized");
        Ok(limits)
    }

    /// The whole pool, in every gateway, stops claiming and lets containers go, those with a
    /// running turn after it; or goes back to normal.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drain(&self, on: bool) -> Result<(), PoolError> {
        let value = on.then(|| "1".to_owned());
        self.inner.set(&[(Settings::DRAINING, value)]).await
    }
}

impl Inner {
    /// The configured limits, with what goes before them.
    pub(crate) fn limits(&self, settings: &Settings) -> Limits {
        let (pool, own) = (&self.config.pool, &settings.limits);
        Limits {
            min_warm: own.min_warm.unwrap_or(pool.min_warm),
            max_total: own.max_total.unwrap_or(pool.max_total),
            max_per_agent: own.max_per_agent.unwrap_or(pool.max_per_agent),
        }
    }

    /// Changes settings, here at once and soon in the other gateways.
    pub(crate) async fn set(
        &self,
        settings: &[(&'static str, Option<String>)],
    ) -> Result<(), PoolError> {
        self.store.set(settings).await?;
        self.attendance.renew(&*self.store).await?;
        self.nudge.notify_one();
        Ok(())
    }
}

fn changed(mut settings: Settings, change: LimitsChange) -> Settings {
    let limits = &mut settings.limits;
    limits.min_warm = change.min_warm.unwrap_or(limits.min_warm);
    limits.max_total = change.max_total.unwrap_or(limits.max_total);
    limits.max_per_agent = change.max_per_agent.unwrap_or(limits.max_per_agent);
    settings
}

fn check(limits: &Limits) -> Result<(), PoolError> {
    let invalid = |why: String| Err(PoolError::InvalidRequest(why));
    if limits.max_total == 0 {
        return invalid("maxTotal is 0; `drain` stops the pool".to_owned());
    }
    if limits.max_per_agent == 0 {
        return invalid("maxPerAgent is 0; it is at least 1".to_owned());
    }
    if limits.min_warm > limits.max_total {
        let (warm, total) = (limits.min_warm, limits.max_total);
        return invalid(format!(
            "minWarm would be {warm} and maxTotal {total}: minWarm is at most maxTotal"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_told_from_nothing() {
        let read = |json| serde_json::from_str::<LimitsChange>(json).unwrap();
        let change = read(r#"{"minWarm":3,"maxTotal":null}"#);
        assert_eq!(change.min_warm, Some(Some(3)));
        assert_eq!(change.max_total, Some(None));
        assert_eq!(change.max_per_agent, None);
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(json, r#"{"minWarm":3,"maxTotal":null}"#);
        assert!(serde_json::from_str::<LimitsChange>(r#"{"minwarm":3}"#).is_err());
        assert!(serde_json::from_str::<LimitsChange>(r#"{"minWarm":-1}"#).is_err());
        let mut settings = Settings::default();
        settings.limits.max_total = Some(9);
        settings.limits.max_per_agent = Some(2);
        let limits = changed(settings, change).limits;
        assert_eq!(
            (limits.min_warm, limits.max_total, limits.max_per_agent),
            (Some(3), None, Some(2))
        );
    }
}
