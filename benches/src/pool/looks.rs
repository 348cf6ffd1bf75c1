//! Takes down how long the gateway's looks take, as its metrics tell.

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

const LOOK: &str = "ccpool_look_seconds";

/// What was taken down since it was asked last.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Vec<f64>>>);

impl Looks {
    /// Listens to the metrics of this process from now on.
    ///
    /// # Errors
    /// When somebody else does.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let looks = Self::default();
        let listening = metrics::set_global_recorder(looks.clone());
        listening.map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(looks)
    }

    /// In ms.
    pub(super) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistogramFn for Looks {
    fn record(&self, seconds: f64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(seconds * 1e3);
    }
}

impl Recorder for Looks {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match key.name() {
            LOOK => Histogram::from_arc(Arc::new(self.clone())),
            _ => Histogram::noop(),
        }
    }
}
