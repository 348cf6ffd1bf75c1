//! Claims, in memory: who is served, and who waits for whom.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ccpool_protocol::record::report;
use ccpool_protocol::state::{SessionStatus, field as state};
use ccpool_protocol::{AgentId, ContainerId, UnixMs};

use super::assigned::Assigned;
use super::fake_book::{Book, Known, Live, Service, Stage, Waiting};
use super::{
    ClaimNumber, ClaimOutcome, ClaimTerms, Claims, FakeStore, Outlook, Queue, StoreError, Ticket,
};
use crate::clock::millis;
use crate::container::Container;
use crate::gateway::GatewayId;
use crate::standing::Fence;

#[async_trait]
impl Claims for FakeStore {
    async fn claim(&self, terms: &ClaimTerms) -> Result<ClaimOutcome, StoreError> {
        Ok(self.check()?.claim(terms))
    }

    async fn withdraw(&self, ticket: &Ticket) -> Result<(), StoreError> {
        self.check()?.known.drop_ticket(Some(ticket));
        Ok(())
    }

    async fn queue(&self) -> Result<Queue, StoreError> {
        let mut book = self.check()?;
        let now = book.now;
        book.known.queue.retain(|waiting| waiting.until >= now);
        let mut rooms = Rooms::of(&book.known);
        let servable = book.known.queue.iter().filter(|w| rooms.take(w)).count();
        Ok(Queue {
            waiting: book.known.queue.len(),
            servable,
        })
    }

    async fn adopt(
        &self,
        container: &Container,
        heir: &GatewayId,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let mut book = self.check()?;
        if !book.admits(fence) {
            return Ok(false);
        }
        let now = book.now;
        let next = book.numbers.claim + 1;
        let known = &mut book.known;
        let Some(entry) = known.containers.get_mut(&container.id) else {
            return Ok(false);
        };
        let Stage::Assigned(service) = &mut entry.stage else {
            return Ok(false);
        };
        let unmoved = Some(service.claim) == container.claim.map(|claim| claim.0)
            && Some(&service.owner) == container.owner.as_ref();
        let mut gateways = known.gateways.iter();
        let lives = gateways.any(|(g, until)| g.to_string() == service.owner && *until > now);
        if !unmoved || lives {
            return Ok(false);
        }
        service.owner = heir.to_string();
        service.claim = next;
        book.numbers.claim = next;
        Ok(true)
    }
}

impl Book {
    fn claim(&mut self, terms: &ClaimTerms) -> ClaimOutcome {
        let Assigned { session, agent, .. } = Assigned::from(terms);
        let ticket = terms.ticket.as_ref();
        if let Some(live) = self.known.live.get(session) {
            let container = live.container.clone();
            self.known.drop_ticket(ticket);
            let entry = self.known.containers.get(&container);
            return match entry.map(|entry| &entry.stage) {
                Some(Stage::Assigned(_)) => ClaimOutcome::Live(container),
                _ => ClaimOutcome::Draining(container),
            };
        }
        if self.known.pool.is_none() {
            return ClaimOutcome::Emptied;
        }
        // Those before it come first; of its agent's room they have taken their part.
        let place = self.known.place_of(ticket);
        let before = self.known.lapse_before(place, self.now);
        let mut rooms = Rooms::of(&self.known);
        let owed = self.known.queue[..before].iter();
        let owed = owed.filter(|waiting| rooms.take(waiting)).count();
        let room = *rooms.left(agent, terms.max_per_agent);
        let free = self.known.claimable(self.now, millis(terms.heartbeat));
        match free.into_iter().nth(owed).filter(|_| room > 0) {
            Some(container) => self.bind(terms, container),
            None => {
                let ticket = self.wait(terms);
                if room > 0 {
                    ClaimOutcome::NoneWarm(ticket, self.outlook())
                } else {
                    ClaimOutcome::AgentLimit(ticket)
                }
            }
        }
    }

    fn outlook(&self) -> Outlook {
        let lead = &self.known.lead;
        Outlook {
            trouble: lead.trouble.clone().filter(|_| self.lead_lasts()),
            drawn: lead.drawn,
        }
    }

    fn bind(&mut self, terms: &ClaimTerms, container: ContainerId) -> ClaimOutcome {
        let Assigned {
            session,
            agent,
            json,
            model,
        } = Assigned::from(terms);
        if let Some(served) = self.known.drop_ticket(terms.ticket.as_ref()) {
            self.known.served = self.known.served.max(served.turn);
        }
        self.numbers.claim += 1;
        let number = ClaimNumber(self.numbers.claim);
        let entry = self.known.containers.get_mut(&container);
        let entry = entry.expect("what is claimable is known");
        entry.stage = Stage::Assigned(Service {
            session: session.clone(),
            agent: agent.clone(),
            assignment: json,
            owner: terms.gateway.to_string(),
            claim: number.0,
            at: self.now,
        });
        let acl_hash = entry.acl_hash.clone();
        let live = Live {
            container: container.clone(),
            agent: agent.clone(),
        };
        self.known.live.insert(session.clone(), live);
        let now = self.now.to_string();
        let kept = self.known.session(session);
        // What an earlier life of the session left is not to expire.
        kept.until = None;
        kept.state.remove(state::ENDED_AT);
        kept.state.remove(state::BATCH);
        for (name, value) in [
            (state::STATUS, SessionStatus::Assigned.as_str()),
            (state::CONTAINER_ID, container.as_str()),
            (state::AGENT_ID, agent.as_str()),
            (state::MODEL, model),
            (state::TURN, ""),
            (state::STARTED_AT, &now),
            (state::LAST_ACTIVITY, &now),
        ] {
            kept.state.insert(name.to_owned(), value.to_owned());
        }
        ClaimOutcome::Claimed {
            container,
            acl_hash,
            number,
        }
    }

    /// Draws a ticket, or keeps the one that was drawn. An agent's next turn comes after its last one,
    /// and not before what is being served.
    fn wait(&mut self, terms: &ClaimTerms) -> Ticket {
        let agent = &terms.assignment.agent;
        let until = self.now + millis(terms.keep);
        let known = &mut self.known;
        if let Some(place) = known.place_of(terms.ticket.as_ref()) {
            let waiting = &mut known.queue[place];
            waiting.until = until;
            waiting.most = terms.max_per_agent;
            return waiting.ticket.clone();
        }
        self.numbers.ticket += 1;
        let ticket = Ticket(format!("{:016}@{}", self.numbers.ticket, terms.gateway));
        let own = known.queue.iter().filter(|waiting| waiting.agent == *agent);
        let last = own.map(|waiting| waiting.turn).max().unwrap_or(0);
        known.queue.push(Waiting {
            turn: known.served.max(last) + 1,
            ticket: ticket.clone(),
            agent: agent.clone(),
            most: terms.max_per_agent,
            until,
        });
        let order = |w: &Waiting| (w.turn, w.ticket.clone());
        known.queue.sort_by_key(order);
        ticket
    }
}

impl Known {
    fn place_of(&self, ticket: Option<&Ticket>) -> Option<usize> {
        let ticket = ticket?;
        self.queue.iter().position(|w| w.ticket == *ticket)
    }

    fn drop_ticket(&mut self, ticket: Option<&Ticket>) -> Option<Waiting> {
        self.place_of(ticket).map(|place| self.queue.remove(place))
    }

    /// Removes those before this place, or all, that have not come back in time. Gives how many are
    /// left of them.
    fn lapse_before(&mut self, place: Option<usize>, now: UnixMs) -> usize {
        let after = self.queue.split_off(place.unwrap_or(self.queue.len()));
        self.queue.retain(|waiting| waiting.until >= now);
        let before = self.queue.len();
        self.queue.extend(after);
        before
    }

    /// Warm containers that were heard of and do not say that they serve anybody, the longest warm
    /// first.
    fn claimable(&self, now: UnixMs, heartbeat: u64) -> Vec<ContainerId> {
        let mut free: Vec<_> = self
            .containers
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.stage, Stage::Warm)
                    && now.saturating_sub(entry.heartbeat()) <= heartbeat
                    && !entry.report.contains_key(report::SESSION)
            })
            .map(|(id, entry)| (entry.warm_at, id.clone()))
            .collect();
        free.sort();
        free.into_iter().map(|(_, id)| id).collect()
    }
}

/// How many more sessions each agent may have, once those that were counted have theirs.
struct Rooms<'a> {
    known: &'a Known,
    left: BTreeMap<AgentId, i64>,
}

impl<'a> Rooms<'a> {
    fn of(known: &'a Known) -> Self {
        Self {
            known,
            left: BTreeMap::new(),
        }
    }

    /// `most`: how many it may have in all.
    fn left(&mut self, agent: &AgentId, most: usize) -> &mut i64 {
        let free = || most as i64 - self.known.sessions_of(agent) as i64;
        self.left.entry(agent.clone()).or_insert_with(free)
    }

    /// Counts one that waits, if its agent may have another session.
    fn take(&mut self, waiting: &Waiting) -> bool {
        let left = self.left(&waiting.agent, waiting.most);
        let takes = *left > 0;
        *left -= i64::from(takes);
        takes
    }
}
