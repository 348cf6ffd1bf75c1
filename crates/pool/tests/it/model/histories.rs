//! Histories of the model in memory, and that it keeps its promises.

use std::fmt;

use futures::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use proptest_state_machine::ReferenceStateMachine;

use super::actors::{Actors, Answer};
use super::promises::{Claimable, Promises};
use super::step::{Step, any_step};
use super::view::View;
use crate::contract::subject::{Memory, POOL, Subject};

pub(super) struct Histories;

/// Where a history has come to.
#[derive(Clone)]
pub(super) struct History {
    pub(super) memory: Memory,
    pub(super) actors: Actors,
    /// What the last step was answered, and what is seen since.
    pub(super) answer: Answer,
    pub(super) view: View,
    promises: Promises,
    /// A promise that was not kept.
    pub(super) broken: Option<String>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an empty pool")
    }
}

/// The store in memory never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing is waited for")
}

impl History {
    fn begin() -> Self {
        let memory = Memory::new();
        let mut actors = Actors::default();
        at_once(memory.store().pool_id(POOL)).expect("it does not fail");
        let view = at_once(View::of(&memory, &mut actors));
        Self {
            memory,
            actors,
            answer: Answer::Done,
            view,
            promises: Promises::default(),
            broken: None,
        }
    }

    fn claimable(&self) -> Claimable {
        let number = |ticket| {
            self.actors
                .tickets
                .iter()
                .position(|known| *known == ticket)
        };
        Claimable {
            // The step's own tick.
            now: self.memory.store.now() + 1,
            containers: at_once(self.memory.store().containers()).unwrap_or_default(),
            view: self.view.clone(),
            held: self.actors.held.clone().map(|held| held.and_then(number)),
        }
    }
}

impl ReferenceStateMachine for Histories {
    type State = History;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<History> {
        Just(()).prop_map(|()| History::begin()).boxed()
    }

    fn transitions(_: &History) -> BoxedStrategy<Step> {
        any_step().boxed()
    }

    fn apply(mut history: History, step: &Step) -> History {
        for part in step.parts() {
            let before = history.claimable();
            let memory = &history.memory;
            history.answer = at_once(history.actors.step(memory, part));
            history.view = at_once(View::of(memory, &mut history.actors));
            let kept = history
                .promises
                .hold_for(part, &history.answer, &before, &history.view)
                .and_then(|()| Promises::hold_in(&history.view, &history.actors));
            if let Err(broken) = kept {
                history.broken.get_or_insert(broken);
            }
        }
        history
    }
}

#[test]
fn the_model_keeps_its_promises() {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    };
    let histories = Histories::sequential_strategy(1..80);
    let run = TestRunner::new(config).run(&histories, |(mut history, steps, seen)| {
        for step in &steps {
            if let Some(seen) = &seen {
                seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            history = Histories::apply(history, step);
            prop_assert_eq!(&history.broken, &None);
        }
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
}
