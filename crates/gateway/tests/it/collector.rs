//! A collector of traces that keeps what it is sent: OTLP over HTTP, in protobuf.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Ends with the value.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    bodies: Bodies,
    _server: JoinSet<()>,
}

type Bodies = Arc<Mutex<Vec<Bytes>>>;

/// A span as it was sent. Ids are hexadecimal; times are ns after the epoch.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) is_server: bool,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let bodies = Bodies::default();
        let app = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(Arc::clone(&bodies));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        Self {
            address,
            bodies,
            _server: server,
        }
    }

    /// As `telemetry.otlpEndpoint`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that was sent, as it came.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().expect("nobody panicked").clone()
    }

    /// All spans that were sent, by their beginning.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = self
            .bodies()
            .iter()
            .flat_map(|body| decoded(body))
            .collect();
        spans.sort_by_key(|span| span.from);
        spans
    }
}

async fn keep(State(bodies): State<Bodies>, body: Bytes) {
    bodies.lock().expect("nobody panicked").push(body);
}

fn decoded(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("it is an export of spans");
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let about = resource.resource.unwrap_or_default();
        let service = attributes(&about.attributes).remove("service.name");
        let service = service.unwrap_or_default();
        for span in resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            let is_error = span.status.as_ref().is_some_and(|status| status.code == 2);
            spans.push(Span {
                service: service.clone(),
                is_server: span.kind == 2,
                is_error,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                from: span.start_time_unix_nano,
                to: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                name: span.name,
            });
        }
    }
    spans
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|pair| (pair.key.clone(), shown(pair.value.as_ref())))
        .collect()
}

fn shown(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
