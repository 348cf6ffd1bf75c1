//! Plays a stream plan into a response body.

use std::{io, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;

use crate::{
    frames::{Finish, Frame, StreamPlan},
    record::{Outcome, RecordedRequest},
    request_log::RequestLog,
    wire::WireCutter,
};

/// Notes the outcome of an answer; an answer dropped halfway lost its client.
#[derive(Debug)]
pub(crate) struct Answering {
    log: Arc<RequestLog>,
    request: Arc<RecordedRequest>,
}

impl Answering {
    pub(crate) fn new(log: Arc<RequestLog>, request: Arc<RecordedRequest>) -> Self {
        Self { log, request }
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        self.log.ended(&self.request, outcome);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.ended(Outcome::ClientGone);
    }
}

/// A body that sends each frame in its own write, at its time.
pub(crate) fn body(plan: StreamPlan, wire: WireCutter, answering: Answering) -> Body {
    let StreamPlan {
        frames,
        finish_delay,
        finish,
    } = plan;
    let frames = frames.into_iter();
    let playing = Playing {
        frames,
        finish_delay,
        finish,
        wire,
        answering,
    };
    Body::from_stream(stream::unfold(playing, |mut playing| async move {
        let item = playing.next().await?;
        Some((item, playing))
    }))
}

struct Playing {
    frames: std::vec::IntoIter<Frame>,
    finish_delay: Duration,
    finish: Finish,
    wire: WireCutter,
    answering: Answering,
}

impl Playing {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        // hyper writes out what it has whenever the body is not ready at once. Without this, frames
        // that need no wait would be collected into one write.
        tokio::task::yield_now().await;
        if let Some(frame) = self.frames.next() {
            if !frame.delay.is_zero() {
                tokio::time::sleep(frame.delay).await;
            }
            return Some(Ok(frame.bytes));
        }
        if !self.finish_delay.is_zero() {
            tokio::time::sleep(self.finish_delay).await;
        }
        match self.finish {
            Finish::Close => {
                self.answering.ended(Outcome::Sent);
                None
            }
            Finish::Stall => std::future::pending().await,
            Finish::Cut => {
                self.answering.ended(Outcome::Cut);
                self.wire.cut();
                Some(Err(io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }
}
