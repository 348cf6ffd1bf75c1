//! What a gateway is told of itself, the others, and what was changed while the pool runs.

use std::collections::HashMap;

use ccpool_protocol::UnixMs;
use serde::{Deserialize, Serialize};

use crate::gateway::GatewayId;

/// The number by which what a leader does is told from what an earlier one does that has not noticed
/// yet. It rises with every change of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// How a gateway stands among the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// By Redis' clock.
    pub now: UnixMs,
    /// It leads, with this number.
    pub fence: Option<Fence>,
    /// Who leads.
    pub leader: Option<GatewayId>,
    /// Why that one can start no container, as it has said last.
    pub trouble: Option<String>,
    /// Who lives, this one included, in the order of their ids.
    pub gateways: Vec<GatewayId>,
    /// What was changed while the pool runs.
    pub settings: Settings,
    /// Redis has lost what it knew of the pool.
    pub emptied: bool,
    /// Every gateway that lives has had the time to register since Redis lost what it knew.
    pub settled: bool,
}

/// What was changed while the pool runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits that go before the configured ones.
    pub limits: LimitsOverride,
    /// The pool takes no new sessions, and lets its containers go.
    pub draining: bool,
}

/// Limits that go before the configured ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsOverride {
    /// Warm or on the way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_warm: Option<u32>,
    /// In all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_total: Option<u32>,
    /// Sessions per agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_agent: Option<u32>,
}

impl Settings {
    /// The names in Redis.
    pub(crate) const MIN_WARM: &str = "minWarm";
    pub(crate) const MAX_TOTAL: &str = "maxTotal";
    pub(crate) const MAX_PER_AGENT: &str = "maxPerAgent";
    pub(crate) const DRAINING: &str = "draining";

    /// Reads the hash; what is not understood there counts as left out.
    pub(crate) fn from_hash(hash: &HashMap<String, String>) -> Self {
        let number = |name: &str| hash.get(name).and_then(|value| value.parse().ok());
        Self {
            limits: LimitsOverride {
                min_warm: number(Self::MIN_WARM),
                max_total: number(Self::MAX_TOTAL),
                max_per_agent: number(Self::MAX_PER_AGENT),
            },
            draining: hash.get(Self::DRAINING).is_some_and(|value| value == "1"),
        }
    }
}

impl Standing {
    /// Whether `me` has to look after the containers of `host`: the leader does if its own run
    /// there, otherwise one of those whose do, and the leader again if there is none: not as long as
    /// one may only have had no time yet to register in an emptied Redis.
    pub fn is_steward(&self, me: &GatewayId, host: &str) -> bool {
        let leads = |gateway: &&GatewayId| self.leader.as_ref() == Some(*gateway);
        let mut there = self.gateways.iter().filter(|g| g.host() == host);
        let steward = there.clone().find(leads).or_else(|| there.next());
        match steward {
            Some(steward) => steward == me && (self.fence.is_some() || !leads(&steward)),
            None => self.fence.is_some() && self.settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_one_steward() {
        let gateway = |bits, host: &str| GatewayId::from_random(bits, host);
        let (a1, a2, b1, b2) = (
            gateway(1, "a"),
            gateway(2, "a"),
            gateway(3, "b"),
            gateway(4, "b"),
        );
        let gateways = vec![a1.clone(), a2.clone(), b1.clone(), b2.clone()];
        let standing = |me: &GatewayId| Standing {
            now: 0,
            fence: (*me == a2).then_some(Fence(1)),
            leader: Some(a2.clone()),
            trouble: None,
            gateways: gateways.clone(),
            settings: Settings::default(),
            emptied: false,
            settled: true,
        };
        for (host, steward) in [("a", &a2), ("b", &b1), ("gone", &a2)] {
            for me in &gateways {
                assert_eq!(
                    standing(me).is_steward(me, host),
                    me == steward,
                    "{me} {host}"
                );
            }
        }
        // Who is there has a steward also then; whether anybody is elsewhere is not known yet.
        let unsettled = Standing {
            settled: false,
            ..standing(&a2)
        };
        assert!(unsettled.is_steward(&a2, "a") && !unsettled.is_steward(&a2, "gone"));
        // Its lease is over, and it does not know by whom it was followed.
        let mut late = standing(&a2);
        late.fence = None;
        assert!(!late.is_steward(&a2, "a") && !late.is_steward(&a2, "gone"));
    }
}
