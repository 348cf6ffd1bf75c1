//! How many spares the demand asks for, when `pool.adaptive` is on.

use std::collections::{BTreeMap, HashSet};

use ccpool_protocol::{ContainerId, UnixMs};

use crate::container::Container;

/// Claims are counted over this time, in ms.
const WINDOW_MS: u64 = 60_000;
/// Until one was seen to start.
const START_MS: f64 = 2_000.0;
/// The newest start counts for this much of the estimate.
const NEWEST: f64 = 0.2;

/// What was seen of claims and starts. Times are passed in.
#[derive(Debug)]
pub(crate) struct Demand {
    /// Containers that were claimed, and when.
    claimed: BTreeMap<ContainerId, UnixMs>,
    /// Containers that have become warm.
    started: BTreeMap<ContainerId, UnixMs>,
    start_ms: f64,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            claimed: BTreeMap::new(),
            started: BTreeMap::new(),
            start_ms: START_MS,
        }
    }
}

impl Demand {
    /// Takes in what a look has shown.
    pub(crate) fn see(&mut self, containers: &[Container], now: UnixMs) {
        for container in containers {
            if let Some(at) = container.assigned_at {
                self.claimed.insert(container.id.clone(), at);
            }
            if let Some(at) = container.warm_at
                && self.started.insert(container.id.clone(), at).is_none()
            {
                let took = at.saturating_sub(container.created_at) as f64;
                self.start_ms += (took - self.start_ms) * NEWEST;
            }
        }
        let recent = |at: &UnixMs| now.saturating_sub(*at) < WINDOW_MS;
        self.claimed.retain(|_, at| recent(at));
        let here: HashSet<&ContainerId> = containers.iter().map(|c| &c.id).collect();
        self.started.retain(|id, _| here.contains(id));
    }

    /// Claims in the last minute.
    pub(crate) fn per_minute(&self) -> usize {
        self.claimed.len()
    }

    /// Spares for `floor` and, beyond it, for twice the claims that come while one starts: arrivals
    /// are not even. At most `ceiling`.
    pub(crate) fn wish(&self, floor: usize, ceiling: usize) -> usize {
        let meanwhile = self.claimed.len() as f64 * self.start_ms / WINDOW_MS as f64;
        let more = (2.0 * meanwhile).ceil() as usize;
        floor.saturating_add(more).min(ceiling.max(floor))
    }
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::record::field;
    use std::collections::HashMap;

    use super::*;

    fn container(bits: u64, created: u64, warm: u64, assigned: Option<u64>) -> Container {
        let mut record = HashMap::from([
            (field::STATE.to_owned(), "assigned".to_owned()),
            (field::CREATED_AT.to_owned(), created.to_string()),
            (field::WARM_AT.to_owned(), warm.to_string()),
        ]);
        if let Some(at) = assigned {
            record.insert(field::ASSIGNED_AT.to_owned(), at.to_string());
        }
        let id = ContainerId::from_random(bits);
        Container::from_hashes(id, &record, &HashMap::new()).expect("it has a state")
    }

    #[test]
    fn the_wish_follows_the_claims_and_goes_back() {
        let mut demand = Demand::default();
        assert_eq!(demand.wish(2, 20), 2);
        let busy: Vec<_> = (0..60)
            .map(|n| container(n, n * 1000, n * 1000 + 2000, Some(n * 1000 + 2000)))
            .collect();
        demand.see(&busy, 61_500);
        assert_eq!(demand.per_minute(), 60);
        // One claim a second and two seconds to start: two, doubled.
        assert_eq!(demand.wish(2, 20), 6);
        assert_eq!(demand.wish(2, 4), 4, "the ceiling holds");
        assert_eq!(demand.wish(5, 4), 5, "and so does the floor");
        demand.see(&[], 200_000);
        assert_eq!((demand.per_minute(), demand.wish(2, 20)), (0, 2));
    }

    #[test]
    fn slow_starts_ask_for_more() {
        let slow = |n| container(n, n * 1000, n * 1000 + 10_000, Some(n * 1000 + 10_000));
        let mut demand = Demand::default();
        let all: Vec<_> = (0..30).map(slow).collect();
        demand.see(&all, 40_000);
        assert!(demand.wish(1, 50) >= 9, "{}", demand.wish(1, 50));
        let before = demand.start_ms;
        demand.see(&all, 40_000);
        assert_eq!(demand.start_ms, before, "each start counts once");
    }
}
