//! What still has to go to Redis: one ordered queue, cut into numbered batches.
//!
//! Pure. A batch stays what it is until Redis has acknowledged it, so that a repetition after a
//! lost answer is the same batch with the same number.

use std::collections::{BTreeMap, VecDeque};

use ccpool_protocol::state::field;

use crate::effects::Op;
use crate::kept::Kept;

/// Most envelopes in one batch: Redis does nothing else while it applies one.
const BATCH_ENVELOPES: usize = 256;
/// Most bytes of envelopes in one batch, unless a single one is bigger.
const BATCH_BYTES: usize = 4 << 20;
/// So many envelopes or bytes may wait before whoever makes them has to wait too.
const CROWD_ENVELOPES: usize = 512;
const CROWD_BYTES: usize = 16 << 20;
/// Most bytes that wait while Redis is away.
pub(crate) const BACKLOG_BYTES: usize = 64 << 20;

/// Ops that are applied together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Rises by one.
    pub(crate) number: u64,
    /// How many envelopes the buffer keeps after it.
    pub(crate) keep: usize,
    pub(crate) envelopes: Vec<String>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) result: Option<String>,
    pub(crate) removals: Vec<Vec<u8>>,
    /// What the transcript gets.
    pub(crate) entries: Vec<String>,
}

/// What Redis has done of which this has not heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Nothing: what was sent and not acknowledged is to be sent again.
    Unchanged,
    /// The batch that was sent; what it removed from `inflight`.
    Applied(Vec<Vec<u8>>),
    /// Somebody else has concluded the session, under a number above all of these.
    Concluded,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Op>,
    envelopes: usize,
    bytes: usize,
    removals: usize,
    sending: Option<Batch>,
    last_batch: u64,
    kept: Kept,
    max_envelopes: usize,
    max_bytes: usize,
    dropped: u64,
    /// What Redis was told last: said again when it may have lost it.
    told: BTreeMap<&'static str, String>,
    result: Option<String>,
}

impl Outbox {
    /// `last_batch`: the number that Redis has seen last. `kept`: what the buffer keeps.
    /// `max_envelopes` and `max_bytes` bound what waits.
    pub(crate) fn new(last_batch: u64, kept: Kept, max_envelopes: usize, max_bytes: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            envelopes: 0,
            bytes: 0,
            removals: 0,
            sending: None,
            last_batch,
            kept,
            max_envelopes,
            max_bytes,
            dropped: 0,
            told: BTreeMap::new(),
            result: None,
        }
    }

    /// Appends in order. Beyond the bounds the oldest envelopes go, but never the ending of a turn.
    pub(crate) fn extend(&mut self, ops: impl IntoIterator<Item = Op>) {
        for op in ops {
            match &op {
                Op::Envelope { json, .. } => {
                    self.envelopes += 1;
                    self.bytes += json.len();
                }
                Op::Remove { .. } => self.removals += 1,
                Op::State { .. } | Op::Result { .. } | Op::Entry { .. } => {}
            }
            self.queue.push_back(op);
        }
        while self.envelopes > self.max_envelopes || self.bytes > self.max_bytes {
            let droppable = |op: &Op| matches!(op, Op::Envelope { keep: false, .. });
            let Some(oldest) = self.queue.iter().position(droppable) else {
                return;
            };
            if let Some(Op::Envelope { json, .. }) = self.queue.remove(oldest) {
                self.envelopes -= 1;
                self.bytes -= json.len();
                self.dropped += 1;
            }
        }
    }

    /// The batch to send now: the one that was not acknowledged, or everything that has queued up
    /// since, within the bounds of a batch.
    pub(crate) fn batch(&mut self) -> Option<&Batch> {
        if self.sending.is_none() && !self.queue.is_empty() {
            self.sending = Some(self.cut());
        }
        self.sending.as_ref()
    }

    /// Redis has applied the batch. Returns what it removed from `inflight`.
    pub(crate) fn acknowledge(&mut self) -> Vec<Vec<u8>> {
        let Some(batch) = self.sending.take() else {
            return Vec::new();
        };
        self.told.extend(batch.fields);
        self.result = batch.result.or(self.result.take());
        self.removals -= batch.removals.len();
        batch.removals
    }

    /// Redis says that it has applied batches up to this number.
    pub(crate) fn settle(&mut self, applied: u64) -> Settled {
        let is_applied = |batch: &Batch| batch.number <= applied;
        if applied > self.last_batch {
            Settled::Concluded
        } else if self.sending.as_ref().is_some_and(is_applied) {
            Settled::Applied(self.acknowledge())
        } else {
            Settled::Unchanged
        }
    }

    /// The fields of the session's state, and its newest result, as Redis has acknowledged them.
    pub(crate) fn told(&self) -> (&BTreeMap<&'static str, String>, Option<&str>) {
        (&self.told, self.result.as_deref())
    }

    /// Whether more waits than Redis takes in one go.
    pub(crate) fn is_crowded(&self) -> bool {
        self.envelopes >= CROWD_ENVELOPES || self.bytes >= CROWD_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sending.is_none()
    }

    /// Whether `inflight` still holds items that are done with.
    pub(crate) fn has_removals(&self) -> bool {
        self.removals > 0
    }

    /// How many envelopes were dropped since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn cut(&mut self) -> Batch {
        self.last_batch += 1;
        let mut batch = Batch {
            number: self.last_batch,
            ..Batch::default()
        };
        let mut bytes = 0;
        while let Some(op) = self.queue.pop_front() {
            match op {
                Op::Envelope { seq, json, keep } => {
                    let full = batch.envelopes.len() >= BATCH_ENVELOPES
                        || (!batch.envelopes.is_empty() && bytes + json.len() > BATCH_BYTES);
                    if full {
                        self.queue.push_front(Op::Envelope { seq, json, keep });
                        break;
                    }
                    bytes += json.len();
                    self.envelopes -= 1;
                    self.bytes -= json.len();
                    batch.keep = self.kept.add(json.len());
                    batch.fields.insert(field::SEQ, seq.to_string());
                    batch.envelopes.push(json);
                }
                Op::State { field, value } => {
                    batch.fields.insert(field, value);
                }
                Op::Result { json } => batch.result = Some(json),
                Op::Entry { json } => batch.entries.push(json),
                Op::Remove { raw } => batch.removals.push(raw),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(seq: u64, keep: bool) -> Op {
        Op::Envelope {
            seq,
            json: format!("{seq:04}"),
            keep,
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<u64> {
        let mut seen = Vec::new();
        while let Some(batch) = outbox.batch() {
            seen.extend(batch.envelopes.iter().map(|e| e.parse::<u64>().unwrap()));
            outbox.acknowledge();
        }
        seen
    }

    #[test]
    fn a_batch_is_the_same_until_acknowledged() {
        let mut outbox = Outbox::new(4, Kept::new(10, 1000), 10, 1000);
        outbox.extend([envelope(1, false), Op::Remove { raw: vec![7] }]);
        let first = outbox.batch().unwrap().clone();
        assert_eq!(first.number, 5);
        assert_eq!(first.fields[field::SEQ], "1");
        outbox.extend([envelope(2, false)]);
        assert_eq!(outbox.batch(), Some(&first));
        assert!(outbox.has_removals());
        assert_eq!(outbox.acknowledge(), [vec![7]]);
        assert!(!outbox.has_removals());
        assert_eq!(outbox.batch().unwrap().number, 6);
        outbox.acknowledge();
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_was_applied_without_an_answer_is_told() {
        let mut outbox = Outbox::new(4, Kept::new(10, 1000), 10, 1000);
        outbox.extend([envelope(1, false)]);
        outbox.batch();
        outbox.acknowledge();
        outbox.extend([envelope(2, true), Op::Remove { raw: vec![7] }]);
        assert_eq!(outbox.batch().unwrap().number, 6);
        // Redis has not got it, or was emptied: it is sent again.
        for applied in [0, 5] {
            assert_eq!(outbox.settle(applied), Settled::Unchanged);
            assert_eq!(outbox.told().0[field::SEQ], "1");
            assert_eq!(outbox.batch().unwrap().number, 6);
        }
        // The session was concluded by somebody else.
        assert_eq!(outbox.settle(9_007_199_254_740_991), Settled::Concluded);
        assert_eq!(outbox.told().0[field::SEQ], "1");
        assert_eq!(outbox.settle(6), Settled::Applied(vec![vec![7]]));
        assert_eq!(outbox.told().0[field::SEQ], "2");
        assert!(outbox.is_empty() && !outbox.has_removals());
        assert_eq!(outbox.settle(6), Settled::Unchanged);
    }

    #[test]
    fn a_state_does_not_run_ahead_of_its_envelope() {
        let mut outbox = Outbox::new(0, Kept::new(10, 1000), 10_000, 1 << 20);
        outbox.extend((1..=300).map(|seq| envelope(seq, false)));
        outbox.extend([Op::State {
            field: field::TURN,
            value: String::new(),
        }]);
        let first = outbox.batch().unwrap();
        assert_eq!(first.envelopes.len(), BATCH_ENVELOPES);
        assert_eq!(first.fields.get(field::TURN), None);
        outbox.acknowledge();
        assert_eq!(outbox.batch().unwrap().fields[field::TURN], "");
    }

    proptest! {
        #[test]
        fn order_stays_and_endings_stay(
            keeps in proptest::collection::vec(any::<bool>(), 0..200),
            send_at in proptest::collection::vec(any::<bool>(), 200),
            limit in 1usize..40,
        ) {
            let mut outbox = Outbox::new(0, Kept::new(10, 1000), limit, usize::MAX);
            let mut sent = Vec::new();
            for (i, keep) in keeps.iter().enumerate() {
                outbox.extend([envelope(i as u64, *keep)]);
                let kept_waiting = outbox.queue.iter()
                    .filter(|op| matches!(op, Op::Envelope { keep: true, .. })).count();
                prop_assert!(outbox.envelopes <= limit.max(kept_waiting));
                if send_at[i] && let Some(batch) = outbox.batch() {
                    sent.extend(batch.envelopes.iter().map(|e| e.parse::<u64>().unwrap()));
                    outbox.acknowledge();
                }
            }
            sent.extend(drain(&mut outbox));
            prop_assert!(sent.windows(2).all(|w| w[0] < w[1]), "{sent:?}");
            for (i, keep) in keeps.iter().enumerate() {
                prop_assert!(!keep || sent.contains(&(i as u64)));
            }
            prop_assert_eq!((outbox.envelopes, outbox.bytes), (0, 0));
        }
    }
}
