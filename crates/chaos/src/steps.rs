//! Counts the steps of the load, and lets the faults come when they are due.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::plan::{Fault, Step};

/// Whoever is at a step waits for a fault to strike, but not for ever: the part may just be on its
/// way up from another one.
const STRIKES: Duration = Duration::from_secs(1);

/// A fault that is due; it is told when it has struck.
pub(crate) type Due = (Fault, oneshot::Sender<()>);

/// Shared by all clients of a run.
#[derive(Debug)]
pub(crate) struct Steps {
    state: Mutex<State>,
    due: mpsc::UnboundedSender<Due>,
}

#[derive(Debug)]
struct State {
    counts: BTreeMap<Step, usize>,
    faults: Vec<Fault>,
}

impl Steps {
    /// With the faults that are planned. They come out of the receiver when they are due; there are
    /// few of them, so it needs no bound.
    pub(crate) fn new(faults: Vec<Fault>) -> (Self, mpsc::UnboundedReceiver<Due>) {
        let (due, strikes) = mpsc::unbounded_channel();
        let counts = BTreeMap::new();
        let state = Mutex::new(State { counts, faults });
        (Self { state, due }, strikes)
    }

    /// Somebody is at this step. Returns when what is due there has struck.
    pub(crate) async fn reach(&self, step: Step) {
        for fault in self.take(step) {
            let (struck, told) = oneshot::channel();
            if self.due.send((fault, struck)).is_ok() {
                let _ = tokio::time::timeout(STRIKES, told).await;
            }
        }
    }

    fn take(&self, step: Step) -> Vec<Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.counts.entry(step).or_default();
        *count += 1;
        let count = *count;
        let due = |fault: &mut Fault| fault.step == step && fault.nth == count;
        state.faults.extract_if(.., due).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::What;

    #[tokio::test]
    async fn a_fault_strikes_once_at_its_step() {
        let fault = Fault {
            step: Step::Claimed,
            nth: 2,
            what: What::CutRedis,
        };
        let (steps, mut strikes) = Steps::new(vec![fault]);
        steps.reach(Step::Claimed).await;
        steps.reach(Step::Ending).await;
        assert!(strikes.try_recv().is_err());
        let strike = async {
            let (due, struck) = strikes.recv().await.unwrap();
            assert_eq!(due, fault);
            struck.send(()).unwrap();
        };
        tokio::join!(steps.reach(Step::Claimed), strike);
        steps.reach(Step::Claimed).await;
        drop(steps);
        assert!(strikes.recv().await.is_none());
    }
}
