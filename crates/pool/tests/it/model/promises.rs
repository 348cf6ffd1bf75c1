//! What must hold in every history, said without the code that makes it so.

use std::collections::{BTreeMap, BTreeSet};

use ccpool::protocol::UnixMs;
use ccpool::protocol::record::ContainerState;
use ccpool::{AgentId, Container};

use super::actors::{Actors, Answer};
use super::step::{AGENTS, CALLERS, CAP, MOST, Step, asked_by};
use super::view::View;
use crate::contract::subject::{KEEP, agent};

/// Gives up with what does not hold.
macro_rules! ensure {
    ($holds:expr, $($what:tt)*) => {
        if !$holds {
            return Err(format!($($what)*));
        }
    };
}

/// What is known of tickets, by the order in which they were drawn.
#[derive(Debug, Clone, Default)]
pub(super) struct Promises {
    agents: BTreeMap<usize, AgentId>,
    /// When their callers came back last.
    came: BTreeMap<usize, UnixMs>,
    /// Those that were their agent's only one when they were drawn.
    firsts: BTreeSet<usize>,
}

/// What is there when a claim comes.
pub(super) struct Claimable {
    pub(super) now: UnixMs,
    pub(super) containers: Vec<Container>,
    pub(super) view: View,
    /// The callers' tickets.
    pub(super) held: [Option<usize>; CALLERS],
}

impl Promises {
    /// Nobody above the cap, nobody with two owners.
    pub(super) fn hold_in(view: &View, actors: &Actors) -> Result<(), String> {
        let Some(containers) = &view.containers else {
            return Ok(());
        };
        let running = containers.iter().filter(|c| actors.alive.contains(&c.id));
        ensure!(running.count() <= CAP, "above the cap: {containers:?}");
        ensure!(
            actors.alive.len() <= CAP,
            "above the cap: {:?}",
            actors.alive
        );
        for (session, container) in &view.live {
            let serving = containers
                .iter()
                .filter(|c| c.session.as_ref() == Some(session));
            let serving: Vec<_> = serving.map(|c| &c.id).collect();
            ensure!(serving == [container], "{session} is served by {serving:?}");
        }
        for container in containers {
            let sessions = view.live.iter().filter(|(_, c)| *c == container.id);
            let count = sessions.count();
            let serves = usize::from(container.session.is_some());
            ensure!(count == serves, "{container:?} serves {count} sessions");
            let assigned = container.state == ContainerState::Assigned;
            ensure!(
                !assigned || container.claim.is_some() && serves == 1,
                "nobody holds the claim of {container:?}"
            );
        }
        let claims: Vec<_> = containers.iter().filter_map(|c| c.claim).collect();
        let different: BTreeSet<_> = claims.iter().collect();
        ensure!(
            different.len() == claims.len(),
            "one number twice: {claims:?}"
        );
        Ok(())
    }

    /// A claim was answered: who is served takes nothing from those before it, and nobody waits in
    /// vain.
    pub(super) fn hold_for(
        &mut self,
        step: &Step,
        answer: &Answer,
        before: &Claimable,
        after: &View,
    ) -> Result<(), String> {
        let Step::Claim(caller) = *step else {
            return Ok(());
        };
        let asked = asked_by(caller);
        let mine = &asked.assignment.agent;
        let place =
            before.held[caller].and_then(|t| before.view.queue.iter().position(|q| *q == t));
        let (ahead, room) = self.ahead_of(place, mine, before);
        let free = before.containers.iter().filter(|container| {
            let silence = before.now.saturating_sub(container.heartbeat.unwrap_or(0));
            container.state == ContainerState::Warm
                && container.said_session.is_none()
                && u128::from(silence) <= KEEP.as_millis()
        });
        let free = free.count();
        match *answer {
            Answer::Claimed(..) => {
                ensure!(
                    free > ahead,
                    "{free} free, and {ahead} before caller {caller}"
                );
                ensure!(room > 0, "{mine} has more sessions than it may");
            }
            Answer::Waits {
                ticket, limited, ..
            } => {
                ensure!(limited == (room <= 0), "{mine} could have {room} more");
                ensure!(
                    limited || free <= ahead,
                    "{free} free, {ahead} before {caller}"
                );
                self.drawn(ticket, mine, before.now, after)?;
            }
            Answer::Skipped
            | Answer::Done
            | Answer::Emptied
            | Answer::Is(_)
            | Answer::Stands { .. }
            | Answer::Reserved(_)
            | Answer::Drew(_)
            | Answer::Live(_)
            | Answer::Draining(_)
            | Answer::Retired(_)
            | Answer::Pushed(_)
            | Answer::Counted(_) => {}
        }
        Ok(())
    }

    /// How many of those before this place another container would serve, and how many more sessions
    /// the agent may have then.
    fn ahead_of(&self, place: Option<usize>, mine: &AgentId, before: &Claimable) -> (usize, i64) {
        let mut rooms: BTreeMap<AgentId, i64> = AGENTS
            .iter()
            .map(|name| {
                let agent = agent(name);
                let live = before.containers.iter().filter(|container| {
                    container.agent.as_ref() == Some(&agent) && container.session.is_some()
                });
                let room = MOST as i64 - live.count() as i64;
                (agent, room)
            })
            .collect();
        let mut ahead = 0;
        for ticket in &before.view.queue[..place.unwrap_or(before.view.queue.len())] {
            let waited = before.now.saturating_sub(self.came[ticket]);
            if u128::from(waited) > KEEP.as_millis() {
                continue;
            }
            let room = rooms.get_mut(&self.agents[ticket]).expect("a known agent");
            if *room > 0 {
                *room -= 1;
                ahead += 1;
            }
        }
        (ahead, rooms[mine])
    }

    /// Nobody overtakes another one of its own agent, nor the first one of any.
    fn drawn(
        &mut self,
        ticket: usize,
        mine: &AgentId,
        now: UnixMs,
        after: &View,
    ) -> Result<(), String> {
        self.came.insert(ticket, now);
        if self.agents.insert(ticket, mine.clone()).is_some() {
            return Ok(());
        }
        let Some(place) = after.queue.iter().position(|drawn| *drawn == ticket) else {
            return Err(format!("ticket {ticket} is not in the queue"));
        };
        let mut others = after.queue.iter().filter(|drawn| **drawn != ticket);
        if !others.any(|drawn| self.agents[drawn] == *mine) {
            self.firsts.insert(ticket);
        }
        for behind in &after.queue[place + 1..] {
            ensure!(
                self.agents[behind] != *mine && !self.firsts.contains(behind),
                "ticket {ticket} is before {behind}, which came earlier: {:?}",
                after.queue
            );
        }
        Ok(())
    }
}
