//! A session and the `claude` that serves it: what hangs is ended, what is gone is brought back.
//!
//! Pure, like the session: what happened goes in with its time, [`Effects`] come out.

use std::time::{Duration, Instant};

use ccpool_protocol::line::WrapperLine;
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::vigil::{self, Alarm, Limits, Request, Vigil};
use ccpool_protocol::{FailureKind, RequestId, TurnId, UnixMs};

use crate::clock::Moment;
use crate::effects::{Effects, Order};
use crate::expiries::Expiries;
use crate::heard::Heard;
use crate::launch::Conversation;
use crate::respawns::{self, Respawns};
use crate::session::Session;

/// Names, among the control requests, the one that is sent to every `claude` at its start.
pub(crate) const PROBE: &str = "ccpool-probe";

/// Where `claude` stands.
#[derive(Debug)]
enum Presence {
    /// It serves the session.
    Here,
    /// It was asked to end because of `why`; until then it has time to.
    Leaving {
        why: String,
        until: Instant,
        killed: bool,
    },
    /// Another one was started, because of `why`, and has not answered yet.
    Returning { why: String, since: Instant },
    /// Given up.
    Gone,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    /// One line.
    pub(crate) why: String,
    /// It ended by itself, with this code.
    pub(crate) code: Option<i32>,
}

/// The two together.
pub(crate) struct Service {
    session: Session,
    presence: Presence,
    vigil: Vigil,
    /// Of permission requests.
    expiries: Expiries<RequestId>,
    /// Of calls of the caller's functions.
    patience: Expiries<String>,
    respawns: Respawns,
    respawned: u64,
    checks: u64,
    conversation: Conversation,
    /// Between asking a process to end and making it.
    grace: Duration,
}

impl Service {
    /// `claude` is there and serves nobody yet but this session.
    pub(crate) fn new(
        session: Session,
        conversation: Conversation,
        limits: Limits,
        grace: Duration,
    ) -> Self {
        Self {
            expiries: Expiries::new(session.policy().patience_ms),
            patience: Expiries::new(Some(session.policy().function_ms)),
            session,
            presence: Presence::Here,
            vigil: Vigil::new(limits),
            respawns: Respawns::default(),
            respawned: 0,
            checks: 0,
            conversation,
            grace,
        }
    }

    /// Whether a turn runs.
    pub(crate) fn is_running(&self) -> bool {
        self.session.is_running()
    }

    /// The turn that runs.
    pub(crate) fn running_turn(&self) -> Option<TurnId> {
        self.session.running_turn()
    }

    /// Lets the session act.
    pub(crate) fn act(
        &mut self,
        act: impl FnOnce(&mut Session, UnixMs, &mut Effects),
        now: Moment,
        out: &mut Effects,
    ) {
        act(&mut self.session, now.at, out);
        for request in out.requests.drain(..) {
            self.vigil.asked(request, vigil::ANSWER, now.tick);
        }
        let (turn, waiting) = (self.session.turn(), self.session.is_waiting());
        self.vigil.follow(turn, waiting, now.tick);
        self.patience.follow(self.session.open_calls(), now.tick);
        self.expiries
            .follow(self.session.open_questions(), now.tick);
    }

    /// A line of `claude`'s.
    pub(crate) fn line(&mut self, heard: Heard, now: Moment, out: &mut Effects) {
        if let Some(id) = heard.conversation() {
            self.conversation = Conversation::Begun(id.to_owned());
        }
        self.vigil.heard(heard.line(), now.tick);
        if heard.answers(PROBE) {
            self.returned(now, out);
        }
        self.act(|session, now, out| session.line(heard, now, out), now, out);
    }

    /// When [`Self::tick`] has something to do, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.presence {
            Presence::Here | Presence::Returning { .. } => {
                let waiting = [self.expiries.deadline(), self.patience.deadline()];
                let due = waiting.into_iter().flatten();
                due.chain(self.vigil.deadline()).min()
            }
            Presence::Leaving { until, .. } => Some(*until),
            Presence::Gone => None,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Moment, out: &mut Effects) {
        while matches!(self.presence, Presence::Here | Presence::Returning { .. })
            && let Some(alarm) = self.vigil.due(now.tick)
        {
            self.answer(alarm, now, out);
        }
        while matches!(self.presence, Presence::Here | Presence::Returning { .. })
            && let Some(request) = self.expiries.due(now.tick)
        {
            let expire = |session: &mut Session, now, out: &mut Effects| {
                session.expire(&request, now, out);
            };
            self.act(expire, now, out);
        }
        while matches!(self.presence, Presence::Here | Presence::Returning { .. })
            && let Some(call) = self.patience.due(now.tick)
        {
            self.give_up_call(&call, now, out);
        }
        let Presence::Leaving { until, killed, .. } = &mut self.presence else {
            return;
        };
        if *until > now.tick {
            return;
        }
        if *killed {
            self.presence = Presence::Gone;
            let why = "claude could not be ended".to_owned();
            out.orders.push(Order::GiveUp(why));
        } else {
            out.notes.push("claude has not exited on SIGTERM".into());
            out.orders.push(Order::Kill);
            *until = now.tick + self.grace;
            *killed = true;
        }
    }

    fn answer(&mut self, alarm: Alarm, now: Moment, out: &mut Effects) {
        match alarm {
            Alarm::Stalled(limit) => {
                let message = format!("claude was silent for {} ms", limit.as_millis());
                self.abort(FailureKind::Stalled, message, now, out);
            }
            Alarm::Overlong(limit) => {
                let message = format!("the turn took longer than {} ms", limit.as_millis());
                self.abort(FailureKind::Timeout, message, now, out);
            }
            Alarm::Unmoved => {
                let why = "claude did not end the turn when it was interrupted";
                self.leave(why.to_owned(), now, out);
            }
            Alarm::Doubt(id) => {
                out.notes.push(format!("claude has not answered {id} yet"));
                self.checks += 1;
                let id = format!("ccpool-check-{}", self.checks);
                let line = StdinLine::mcp_status(&id);
                self.act(|_, _, out| out.request(&id, &line), now, out);
            }
            Alarm::Unanswered(id) => {
                let why = format!("claude left the control request {id} unanswered");
                self.leave(why, now, out);
            }
        }
    }

    /// The running turn is interrupted, for this reason.
    fn abort(&mut self, kind: FailureKind, message: String, now: Moment, out: &mut Effects) {
        out.notes
            .push(format!("{message}; the turn is interrupted"));
        self.act(
            |session, _, out| session.abort(kind, message, out),
            now,
            out,
        );
    }

    /// The caller does not come back with a result: the turn is interrupted.
    fn give_up_call(&mut self, call: &str, now: Moment, out: &mut Effects) {
        let give_up = |session: &mut Session, _, out: &mut Effects| {
            if let Some(message) = session.give_up_call(call, out) {
                out.notes
                    .push(format!("{message}; the turn is interrupted"));
            }
        };
        self.act(give_up, now, out);
        self.vigil.interrupted(now.tick);
    }

    /// This process is of no use any more.
    fn leave(&mut self, why: String, now: Moment, out: &mut Effects) {
        out.notes.push(why.clone());
        out.orders.push(Order::Terminate);
        self.session.hold();
        self.presence = Presence::Leaving {
            why,
            until: now.tick + self.grace,
            killed: false,
        };
    }

    /// The process has ended, and its last lines were heard.
    pub(crate) fn exited(&mut self, exit: Exit, now: Moment, out: &mut Effects) {
        let returning = matches!(self.presence, Presence::Returning { .. });
        let why = match std::mem::replace(&mut self.presence, Presence::Gone) {
            Presence::Leaving { why, .. } => why,
            Presence::Here | Presence::Returning { .. } | Presence::Gone => exit.why,
        };
        self.conversation = match &self.conversation {
            // A conversation that it cannot take up, it refuses with this code.
            Conversation::Begun(id) if !(returning && exit.code == Some(1)) => {
                Conversation::Begun(id.clone())
            }
            // The name may be in use already: each counts once.
            Conversation::Begun(_) | Conversation::New(_) => {
                Conversation::New(self.session.new_conversation())
            }
        };
        self.vigil.forget();
        self.act(|session, now, out| session.lost(&why, now, out), now, out);
        if !self.respawns.allow(now.tick) {
            let (most, minutes) = (respawns::MOST, respawns::WITHIN.as_secs() / 60);
            out.orders.push(Order::GiveUp(format!(
                "{why}; it had been started again {most} times within {minutes} minutes"
            )));
            return;
        }
        out.notes.push(format!("{why}; it is started again"));
        out.state(field::CLI_SESSION_ID, self.conversation.id());
        out.orders.push(Order::Start(self.conversation.clone()));
        out.write(&StdinLine::mcp_status(PROBE));
        let probe = Request {
            id: PROBE.to_owned(),
            asks_model: false,
        };
        self.vigil.asked(probe, vigil::BOOT, now.tick);
        self.presence = Presence::Returning {
            why,
            since: now.tick,
        };
    }

    /// The new process answers, if there is one.
    fn returned(&mut self, now: Moment, out: &mut Effects) {
        let Presence::Returning { why, since } = &self.presence else {
            return;
        };
        let (why, since) = (why.clone(), *since);
        self.presence = Presence::Here;
        self.respawned += 1;
        out.state(field::RESPAWNS, self.respawned.to_string());
        let took = now.tick.duration_since(since);
        let line = WrapperLine::Respawned {
            reason: why,
            resumed: matches!(self.conversation, Conversation::Begun(_)),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        out.notes
            .push(format!("claude is back after {} ms", took.as_millis()));
        self.act(
            |session, now, out| session.go_on_with(&line, now, out),
            now,
            out,
        );
    }
}

#[cfg(test)]
mod tests;
