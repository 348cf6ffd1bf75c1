//! The bounded list of recorded requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::record::{BODY_KEPT, Outcome, RecordedRequest};

/// How many requests are kept.
const REQUESTS_KEPT: usize = 10_000;

/// How many bytes of bodies are kept in all; older requests lose theirs.
const BODIES_KEPT: usize = 128 * 1024 * 1024;

/// Recorded requests, oldest first, and a signal for every change.
#[derive(Debug)]
pub(crate) struct RequestLog {
    entries: Mutex<Entries>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Arc<RecordedRequest>>,
    /// The number of entries at the front that lost their bodies already.
    bodiless: usize,
    body_bytes: usize,
    last_seq: u64,
}

impl RequestLog {
    pub(crate) fn new() -> Self {
        Self {
            entries: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// Adds a request under the next number, without a body that is too large.
    pub(crate) fn add(&self, mut request: RecordedRequest) -> Arc<RecordedRequest> {
        if request.body_bytes > BODY_KEPT {
            request.body = None;
        }
        let added = self.entries().add(request, REQUESTS_KEPT, BODIES_KEPT);
        self.changes.send_replace(());
        added
    }

    /// The requests numbered above `seq`, oldest first.
    pub(crate) fn since(&self, seq: u64) -> Vec<Arc<RecordedRequest>> {
        let entries = self.entries();
        let first = entries.kept.partition_point(|request| request.seq <= seq);
        entries.kept.range(first..).cloned().collect()
    }

    /// Forgets all requests; numbers go on.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        *entries = Entries {
            last_seq: entries.last_seq,
            ..Entries::default()
        };
    }

    /// Notes how an answer ended, if that was not noted before.
    pub(crate) fn ended(&self, request: &RecordedRequest, outcome: Outcome) {
        if request.outcome.set(outcome).is_ok() {
            self.changes.send_replace(());
        }
    }

    /// Fires on every new request and every ended answer.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No code that can panic halfway through a change runs under the lock.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn add(
        &mut self,
        mut request: RecordedRequest,
        most: usize,
        most_bytes: usize,
    ) -> Arc<RecordedRequest> {
        self.last_seq += 1;
        request.seq = self.last_seq;
        self.body_bytes += body_len(&request);
        let added = Arc::new(request);
        self.kept.push_back(Arc::clone(&added));
        while self.kept.len() > most {
            if let Some(oldest) = self.kept.pop_front() {
                self.body_bytes -= body_len(&oldest);
                self.bodiless = self.bodiless.saturating_sub(1);
            }
        }
        while self.body_bytes > most_bytes {
            let Some(oldest) = self.kept.get_mut(self.bodiless) else {
                break;
            };
            self.body_bytes -= body_len(oldest);
            *oldest = Arc::new(RecordedRequest {
                body: None,
                ..RecordedRequest::clone(oldest)
            });
            self.bodiless += 1;
        }
        added
    }
}

fn body_len(request: &RecordedRequest) -> usize {
    request.body.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::Auth;

    fn request(body: &'static str) -> RecordedRequest {
        RecordedRequest {
            seq: 0,
            received_at_unix_ms: 0,
            method: "POST".into(),
            path: "/v1/messages".into(),
            query: None,
            auth: Auth::None,
            session_id: None,
            agent_id: None,
            user_agent: None,
            model: None,
            stream: false,
            max_tokens: None,
            tool_names: Vec::new(),
            message_count: 0,
            last_user_text: String::new(),
            body_bytes: body.len(),
            body: Some(Bytes::from_static(body.as_bytes())),
            outcome: Arc::default(),
        }
    }

    #[test]
    fn old_requests_make_room_and_old_bodies_go_first() {
        let mut entries = Entries::default();
        for _ in 0..5 {
            entries.add(request("[1,2]"), 4, 12);
        }
        let kept: Vec<_> = entries
            .kept
            .iter()
            .map(|r| (r.seq, r.body.is_some()))
            .collect();
        assert_eq!(kept, [(2, false), (3, false), (4, true), (5, true)]);
        assert_eq!((entries.body_bytes, entries.bodiless), (10, 2));
    }

    #[test]
    fn since_and_clear_keep_the_numbering() {
        let log = RequestLog::new();
        log.add(request("1"));
        log.add(request("2"));
        assert_eq!(log.since(1).len(), 1);
        log.clear();
        assert_eq!(log.since(0).len(), 0);
        assert_eq!(log.add(request("3")).seq, 3);
    }

    #[test]
    fn an_outcome_is_noted_once_and_told() {
        let log = RequestLog::new();
        let added = log.add(request("1"));
        let mut changes = log.changes();
        changes.mark_unchanged();
        log.ended(&added, Outcome::Cut);
        log.ended(&added, Outcome::ClientGone);
        assert_eq!(added.outcome(), Some(Outcome::Cut));
        assert!(changes.has_changed().unwrap());
    }
}
