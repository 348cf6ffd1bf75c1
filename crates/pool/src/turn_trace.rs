//! What is told of a turn when it is over: metrics, a line in the log, and its spans, whose times are
//! known only then.

use std::time::{Duration, SystemTime};

use ccpool_protocol::event::Timings;
use ccpool_protocol::stages::{StageTime, stages};
use ccpool_protocol::{Event, SessionId, TurnId, UnixMs};
use opentelemetry::trace::{Span as _, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};

use crate::clock::unix_ms;

/// A turn under way, as its caller sees it.
#[derive(Debug)]
pub(crate) struct TurnTrace {
    session: SessionId,
    turn: TurnId,
    /// It began then, as long as no line says it better.
    sent_at: UnixMs,
    /// Within what it was sent.
    caller: Context,
}

/// How a turn went.
struct Course<'a> {
    outcome: &'a str,
    began_at: UnixMs,
    timings: Timings,
    ended_at: UnixMs,
}

impl TurnTrace {
    /// A turn that was sent just now. Its spans will be below the one that is current.
    pub(crate) fn begin(session: SessionId, turn: TurnId) -> Self {
        Self {
            session,
            turn,
            sent_at: unix_ms(),
            caller: Context::current(),
        }
    }

    /// It has ended with this event. `heard` is what its lines told until then, for an ending that
    /// does not say itself where the time went.
    pub(crate) fn ended(self, ending: &Event, at: UnixMs, heard: (UnixMs, Timings)) {
        let (outcome, told) = match ending {
            Event::Completed(completed) => ("completed", completed.timings),
            Event::Failed(failed) => (failed.kind.as_str(), failed.timings),
            _ => return,
        };
        let (began_at, timings) = match told.result_ms {
            Some(whole) => (at.saturating_sub(whole), told),
            None => self.known(heard),
        };
        let course = Course {
            outcome,
            began_at,
            timings,
            ended_at: at,
        };
        let times = stages(course.began_at, &course.timings, course.ended_at);
        for time in times.iter().filter(|time| time.is_whole) {
            observe(time.stage.as_str(), time.from, time.to);
        }
        observe("turn", course.began_at, course.ended_at);
        self.tell(&course, &times);
    }

    /// It has come to this.
    pub(crate) fn heard(&self, event: &Event) {
        if let Event::PermissionResolved { outcome, .. } = event {
            let outcome = outcome.as_str();
            metrics::counter!("ccpool_permission_requests_total", "outcome" => outcome)
                .increment(1);
        }
    }

    /// Nobody reads it any more. The turn goes on; how it ends is not known here.
    pub(crate) fn left(self, heard: (UnixMs, Timings)) {
        let (began_at, timings) = self.known(heard);
        let course = Course {
            outcome: "left",
            began_at,
            timings,
            ended_at: unix_ms(),
        };
        let times = stages(course.began_at, &course.timings, course.ended_at);
        self.tell(&course, &times);
    }

    /// Before the first line of a turn, 0 stands for its beginning.
    fn known(&self, (began_at, timings): (UnixMs, Timings)) -> (UnixMs, Timings) {
        match began_at {
            0 => (self.sent_at, timings),
            began_at => (began_at, timings),
        }
    }

    fn tell(&self, course: &Course<'_>, times: &[StageTime]) {
        let outcome = course.outcome.to_owned();
        metrics::counter!("ccpool_turns_total", "outcome" => outcome).increment(1);
        let (session, turn, outcome) = (&self.session, &self.turn, course.outcome);
        let ms = course.ended_at.saturating_sub(course.began_at);
        tracing::info!(%session, %turn, outcome, ms, "turn over");
        // Without somebody to trace for, nothing is made.
        if self.caller.span().span_context().is_sampled() {
            self.spans(course, times);
        }
    }

    fn spans(&self, course: &Course<'_>, times: &[StageTime]) {
        let tracer = global::tracer("ccpool");
        let about = || {
            vec![
                KeyValue::new("session", self.session.as_str().to_owned()),
                KeyValue::new("turn", self.turn.as_str().to_owned()),
            ]
        };
        let mut attributes = about();
        attributes.push(KeyValue::new("outcome", course.outcome.to_owned()));
        let whole = tracer
            .span_builder("turn")
            .with_start_time(time(course.began_at))
            .with_attributes(attributes);
        let mut whole = whole.start_with_context(&tracer, &self.caller);
        if !matches!(course.outcome, "completed" | "left") {
            whole.set_status(Status::error(course.outcome.to_owned()));
        }
        let within = self.caller.with_span(whole);
        for stage in times {
            let span = tracer
                .span_builder(stage.stage.as_str())
                .with_start_time(time(stage.from))
                .with_attributes(about());
            let mut span = span.start_with_context(&tracer, &within);
            span.end_with_timestamp(time(stage.to));
        }
        within.span().end_with_timestamp(time(course.ended_at));
    }
}

fn observe(stage: &'static str, from: UnixMs, to: UnixMs) {
    let seconds = Duration::from_millis(to.saturating_sub(from)).as_secs_f64();
    metrics::histogram!("ccpool_turn_stage_seconds", "stage" => stage).record(seconds);
}

fn time(at: UnixMs) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at)
}
