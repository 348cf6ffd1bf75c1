use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ccpool::provider::{Passed, Provider};
use ccpool::{Event, FailureKind};
use tokio::time::Instant;

use super::breaker::{Admission, Breaker, Resort};

/// A provider of a chain, and whether it is asked.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) provider: Arc<dyn Provider>,
    breaker: Mutex<Breaker>,
}

/// One attempt, which its member hears the outcome of, however it ends.
#[derive(Debug)]
pub(super) struct Trial {
    member: Arc<Member>,
    is_probe: bool,
    is_told: bool,
}

impl Member {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Arc<Self> {
        let member = Self {
            provider,
            breaker: Mutex::new(Breaker::new()),
        };
        member.show(&member.breaker());
        member.count("completed", 0);
        Arc::new(member)
    }

    pub(super) fn name(&self) -> &str {
        self.provider.name()
    }

    /// Leave to ask it.
    ///
    /// # Errors
    /// Why not, as what is told of a provider that was to answer as `model`, and for how long.
    pub(super) fn begin(
        self: &Arc<Self>,
        model: &str,
        resort: Resort,
    ) -> Result<Trial, (Passed, Duration)> {
        let admission = {
            let mut breaker = self.breaker();
            let admission = breaker.admit(resort, Instant::now());
            self.show(&breaker);
            admission
        };
        let is_probe = match admission {
            Admission::Asked => false,
            Admission::Probes => true,
            Admission::PassedBy { kind, wait } => {
                let message = format!(
                    "not asked for another {} ms, after it has failed ({kind})",
                    wait.as_millis()
                );
                let provider = model.to_owned();
                return Err((
                    Passed {
                        provider,
                        kind,
                        message,
                    },
                    wait,
                ));
            }
        };
        Ok(Trial {
            member: Arc::clone(self),
            is_probe,
            is_told: false,
        })
    }

    /// Why it is not asked, for a person.
    pub(super) fn closed_off(&self, resort: Resort) -> Option<String> {
        let (kind, wait) = self.breaker().closed_off(resort, Instant::now())?;
        Some(format!(
            "it has failed ({kind}) and is asked again in {} ms",
            wait.as_millis()
        ))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // No code that can panic halfway through a change runs under the lock.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, breaker: &Breaker) {
        let provider = self.name().to_owned();
        metrics::gauge!("ccpool_provider_breaker", "provider" => provider).set(breaker.level());
    }

    fn count(&self, outcome: &'static str, by: u64) {
        let provider = self.name().to_owned();
        metrics::counter!(
            "ccpool_provider_replies_total", "provider" => provider, "outcome" => outcome
        )
        .increment(by);
    }

    fn change(&self, outcome: &'static str, change: impl FnOnce(&mut Breaker, Instant)) {
        self.count(outcome, 1);
        let mut breaker = self.breaker();
        let before = breaker.level();
        change(&mut breaker, Instant::now());
        self.show(&breaker);
        if before != 2 && breaker.level() == 2 {
            tracing::warn!(
                provider = self.name(),
                outcome,
                "a provider is not asked for a while"
            );
        }
    }
}

impl Trial {
    /// Something of its answer was seen.
    pub(super) fn spoke(&self) {
        let mut breaker = self.member.breaker();
        breaker.spoke(self.is_probe);
        self.member.show(&breaker);
    }

    /// It ended with this event.
    pub(super) fn ended(mut self, end: &Event) {
        match end {
            Event::Failed(failed) => {
                let wait = failed.retry_after_ms.map(Duration::from_millis);
                self.failed(failed.kind, wait);
            }
            other => {
                self.is_told = true;
                let is_probe = self.is_probe;
                let succeeded = |breaker: &mut Breaker, _| breaker.succeeded(is_probe);
                self.member.change(other.type_name(), succeeded);
            }
        }
    }

    /// It did not answer.
    pub(super) fn failed(mut self, kind: FailureKind, retry_after: Option<Duration>) {
        self.is_told = true;
        let is_probe = self.is_probe;
        self.member.change(kind.as_str(), |breaker, now| {
            breaker.failed(is_probe, kind, retry_after, now);
        });
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.is_told {
            let is_probe = self.is_probe;
            self.member
                .change("left", |breaker, now| breaker.left(is_probe, now));
        }
    }
}
