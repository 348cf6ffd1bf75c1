//! The way of spans from where they are made to the collector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ccpool::config::Telemetry;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue, global};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::sender::{Sender, SenderError};
use crate::cli::CliError;

/// How the tracer and, where nobody names it otherwise, the service is called.
const NAME: &str = "ccpool";
/// How long the last spans may take at the end.
const LAST_EXPORT: Duration = Duration::from_secs(5);

/// Somebody takes spans, so they are worth making.
static ON: AtomicBool = AtomicBool::new(false);

/// Whether spans are sent anywhere.
pub(super) fn are_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Spans are on their way as long as this is there. [`Traces::shutdown`] sends the last ones.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TracesError {
    /// The variables of OpenTelemetry, or the address, are not what the exporter takes.
    #[error("cannot send traces: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// There is no client to send them with.
    #[error(transparent)]
    Sender(#[from] SenderError),
}

impl From<TracesError> for CliError {
    fn from(error: TracesError) -> Self {
        Self::new(crate::cli::Exit::Usage, "config", error.to_string())
            .mend("correct telemetry.otlpEndpoint and the variables that begin with OTEL_")
    }
}

impl Traces {
    /// Begins to send spans to the configured collector, if there is one. Must be called within the
    /// async runtime, and before logging is started.
    ///
    /// # Errors
    /// [`TracesError`]. A collector that is not there is none: it may come.
    pub(crate) fn start(config: &Telemetry) -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(Handle::current())?)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str()))
            .with_protocol(Protocol::HttpBinary)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        global::set_tracer_provider(provider.clone());
        ON.store(true, Ordering::Relaxed);
        Ok(Some(Self { provider }))
    }

    /// Takes spans from `tracing`: ccpool's own, none of the libraries'.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(NAME))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(own_spans())
    }

    /// Sends what is left.
    pub(crate) async fn shutdown(self) {
        ON.store(false, Ordering::Relaxed);
        let provider = self.provider;
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_EXPORT));
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::error!(%error, "sending the last spans failed"),
        }
    }
}

fn own_spans<S: Subscriber>() -> impl Filter<S> {
    let is_own = |metadata: &tracing::Metadata<'_>| {
        metadata.is_span()
            && *metadata.level() <= Level::DEBUG
            && (metadata.target() == NAME || metadata.target().starts_with("ccpool::"))
    };
    FilterFn::new(is_own).with_max_level_hint(LevelFilter::DEBUG)
}

/// Who sends them: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before what is known here.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let build = || Resource::builder().with_attribute(version.clone());
    let found = build().build();
    let is_named = found
        .get(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named {
        found
    } else {
        build().with_service_name(NAME).build()
    }
}
