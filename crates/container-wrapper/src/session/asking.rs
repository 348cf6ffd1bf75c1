//! What the CLI asks before a tool acts: each request gets one answer, or is withdrawn.

use ccpool_protocol::line::{Asked, ControlRequest, Line, WrapperLine};
use ccpool_protocol::permission::{Answer, Behavior};
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{RequestId, TurnId, UnixMs};
use serde_json::Value;

use super::Session;
use crate::effects::Effects;
use crate::questions::{Policy, Question, Settling, cut};

impl Session {
    pub(crate) fn policy(&self) -> Policy {
        self.questions.policy()
    }

    /// Names the permission requests that wait for an answer.
    pub(crate) fn open_questions(&self) -> impl Iterator<Item = &RequestId> {
        self.questions.open()
    }

    /// Whether a permission request waits for an answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.open_questions().next().is_some()
    }

    /// Somebody answers.
    pub(super) fn answer(
        &mut self,
        request: &RequestId,
        ticket: &str,
        answer: &Answer,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let Some(question) = self.answerable(request.as_str(), out) else {
            return;
        };
        let response = question.response(answer);
        let settling = Settling::answered(answer.behavior(), Some(cut(ticket)));
        self.settle(&question, settling, Some(&response), now, out);
    }

    /// Somebody answers in the CLI's own words. Those that it cannot read are a no.
    pub(super) fn answer_raw(
        &mut self,
        request: &str,
        response: &Value,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let Some(question) = self.answerable(request, out) else {
            return;
        };
        let behavior = match response["behavior"] == "allow" {
            true => Behavior::Allow,
            false => Behavior::Deny,
        };
        let settling = Settling::answered(behavior, None);
        self.settle(&question, settling, Some(response), now, out);
    }

    /// Nobody has answered in time: the policy does.
    pub(crate) fn expire(&mut self, request: &RequestId, now: UnixMs, out: &mut Effects) {
        let Some(question) = self.questions.take(request.as_str()) else {
            return;
        };
        let answer = self.questions.policy().answer(&question);
        let response = question.response(&answer);
        let settling = Settling::timed_out(answer.behavior());
        self.settle(&question, settling, Some(&response), now, out);
    }

    fn answerable(&mut self, request: &str, out: &mut Effects) -> Option<Question> {
        // A process on its way out takes nothing; its end withdraws what it asked.
        let question = match self.away {
            true => None,
            false => self.questions.take(request),
        };
        if question.is_none() {
            out.notes
                .push("a permission answer to no open request was ignored".into());
        }
        question
    }

    /// A line that may be a request is about to be published for this turn. Readers are told first
    /// until when it waits. False: it was refused, and nobody is told of it.
    pub(super) fn about_to_ask(
        &mut self,
        turn: &TurnId,
        line: &Line,
        now: UnixMs,
        out: &mut Effects,
    ) -> bool {
        let Line::ControlRequest(ControlRequest {
            request_id,
            request: Asked::CanUseTool(asked),
        }) = line
        else {
            return true;
        };
        let Ok(request) = RequestId::new(request_id.as_str()) else {
            return true;
        };
        if self.questions.is_open(&request) {
            return true;
        }
        if self.questions.is_full() {
            out.notes
                .push("a permission request was refused: too many wait".into());
            out.write(&StdinLine::refuse(
                request_id,
                "too many permission requests wait for an answer",
            ));
            return false;
        }
        // Its own line comes after the one that is said here.
        let seq = self.chronicle.seq() + 2;
        self.questions
            .ask(request.clone(), asked, (turn, seq), now, out);
        let line = WrapperLine::PermissionAsked {
            request_id: request,
            expires_at: self.questions.expiry(now),
        };
        self.chronicle.say(turn, &line, now, out);
        true
    }

    /// The CLI no longer asks.
    pub(super) fn withdraw(&mut self, request: &str, now: UnixMs, out: &mut Effects) {
        if let Some(question) = self.questions.take(request) {
            self.settle(&question, Settling::withdrawn(), None, now, out);
        }
    }

    /// `claude` is gone, and what it asked with it.
    pub(super) fn withdraw_all(&mut self, now: UnixMs, out: &mut Effects) {
        for question in self.questions.take_all(None) {
            self.settle(&question, Settling::withdrawn(), None, now, out);
        }
    }

    /// The turn is over. What was asked in it and is not answered, nobody waits for; should the CLI
    /// do so all the same, it is told no.
    pub(super) fn withdraw_of(&mut self, turn: &TurnId, now: UnixMs, out: &mut Effects) {
        if self.questions.policy().outlive_turns {
            return;
        }
        for question in self.questions.take_all(Some(turn)) {
            let no = question.response(&Answer::deny("the turn is over"));
            self.settle(&question, Settling::withdrawn(), Some(&no), now, out);
        }
    }

    fn settle(
        &mut self,
        question: &Question,
        settling: Settling,
        response: Option<&Value>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let line = WrapperLine::PermissionResolved {
            request_id: question.listed.request_id.clone(),
            tool_use_id: question.listed.tool_use_id.clone(),
            outcome: settling.outcome,
            behavior: settling.behavior,
            by: settling.by,
        };
        self.questions.settle(question, settling, now, out);
        let turn = self.current_turn();
        let turn = turn.unwrap_or_else(|| question.listed.turn.clone());
        self.chronicle.say(&turn, &line, now, out);
        if let Some(response) = response {
            let request = question.listed.request_id.as_str();
            out.write(&StdinLine::answer(request, response));
        }
    }
}
