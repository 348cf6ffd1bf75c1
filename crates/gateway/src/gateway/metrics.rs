//! What is counted and measured, under which names. The table in `docs/observability.md` says the
//! same, and a test compares both with what a gateway shows.

use ccpool_protocol::permission::PermissionOutcome;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Of calls within the host, in seconds: from a tenth of a millisecond.
const SHORT: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];
/// Of requests, claims and containers, in seconds.
const MIDDLE: [f64; 14] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Of turns and their stages, in seconds: a stage in Redis takes a millisecond, an answer minutes.
const LONG: [f64; 16] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
    1200.0,
];

/// Every histogram, with its buckets and what it measures.
const HISTOGRAMS: [(&str, &[f64], &str); 8] = [
    (
        "ccpool_claim_seconds",
        &MIDDLE,
        "Claims that got a container, waiting included",
    ),
    (
        "ccpool_http_response_seconds",
        &MIDDLE,
        "From a request to the head of its response",
    ),
    (
        "ccpool_look_seconds",
        &MIDDLE,
        "Looks of the reconciler at the whole pool",
    ),
    ("ccpool_redis_seconds", &SHORT, "Answers of Redis"),
    (
        "ccpool_runtime_seconds",
        &MIDDLE,
        "Answers of the container runtime",
    ),
    (
        "ccpool_start_seconds",
        &MIDDLE,
        "Starts of containers, until the runtime has started them",
    ),
    (
        "ccpool_tool_call_seconds",
        &LONG,
        "Calls of the gateway's tools, until they are answered",
    ),
    (
        "ccpool_turn_stage_seconds",
        &LONG,
        "Stages of turns, and whole turns (`turn`)",
    ),
];

const COUNTERS: [(&str, &str); 11] = [
    ("ccpool_claim_misses_total", "Claims that had to wait"),
    ("ccpool_claims_total", "Claims"),
    ("ccpool_container_failures_total", "Containers that failed"),
    (
        "ccpool_conversations_total",
        "Conversations that were to be answered",
    ),
    ("ccpool_http_requests_total", "HTTP requests"),
    (
        "ccpool_permission_requests_total",
        "Permission requests that were settled, of turns sent through this gateway",
    ),
    (
        "ccpool_provider_fallbacks_total",
        "Conversations that another provider answered, for each one that did not",
    ),
    (
        "ccpool_provider_replies_total",
        "Answers of providers to conversations",
    ),
    (
        "ccpool_refill_total",
        "Containers that became warm, or failed before they were",
    ),
    ("ccpool_tool_calls_total", "Calls of the gateway's tools"),
    (
        "ccpool_turns_total",
        "Turns sent through this gateway that are over",
    ),
];

const GAUGES: [(&str, &str); 7] = [
    (
        "ccpool_claims_per_minute",
        "Claims of the last minute, by which pool.adaptive goes",
    ),
    (
        "ccpool_claims_waiting",
        "Claims that another container would serve, in all gateways",
    ),
    (
        "ccpool_leads",
        "1 for the gateway that starts containers, else 0",
    ),
    (
        "ccpool_provider_breaker",
        "0: a provider is asked; 1: one conversation tries it after failures; 2: it is not asked for a while",
    ),
    (
        "ccpool_refill_breaker",
        "0: containers are started; 1: one is tried after failures; 2: none for a while",
    ),
    (
        "ccpool_spares_wanted",
        "pool.minWarm, or what demand asks for with pool.adaptive",
    ),
    ("ccpool_containers", "Containers of the pool"),
];

/// Begins to record metrics, for the whole process.
///
/// # Errors
/// When something else records them already.
pub(super) fn recorder() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, buckets, _) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
    }
    let handle = builder.install_recorder()?;
    for (name, _, what) in HISTOGRAMS {
        describe_histogram!(name, Unit::Seconds, what);
    }
    for (name, what) in COUNTERS {
        describe_counter!(name, Unit::Count, what);
    }
    // Whoever adds them up finds all of them from the start.
    for outcome in PermissionOutcome::ALL {
        let outcome = outcome.as_str();
        counter!("ccpool_permission_requests_total", "outcome" => outcome).increment(0);
    }
    for (name, what) in GAUGES {
        describe_gauge!(name, Unit::Count, what);
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_rise() {
        for (name, buckets, _) in HISTOGRAMS {
            assert!(buckets.is_sorted_by(|a, b| a < b), "{name}");
        }
    }
}
