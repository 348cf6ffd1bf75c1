//! What `/metrics` shows, compared with what the documentation says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::gateway::{Gateway, Setup};
use crate::tools::call;

/// A metric's labels, and whether it appears without a fault.
type Table = BTreeMap<String, (BTreeSet<String>, bool)>;

/// The rows of the table: `| `name` | type | `label`, `label` | when | what |`.
fn documented() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/observability.md");
    let text = std::fs::read_to_string(path).expect("the page is there");
    let rows = text.lines().filter(|line| line.starts_with("| `ccpool_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned);
        let always = match cells[4] {
            "always" => true,
            "fault" => false,
            other => panic!("{other:?} is neither `always` nor `fault`: {row}"),
        };
        let name = cells[1].trim_matches('`').to_owned();
        (name, (labels.collect(), always))
    })
    .collect()
}

/// The metrics in Prometheus' text, with their labels, and those that have a description.
fn shown(text: &str) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let (mut shown, mut described) = (BTreeMap::<_, BTreeSet<String>>::new(), BTreeSet::new());
    let mut histograms = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.split(' ').collect();
            match words[..] {
                ["HELP", name, ..] => {
                    described.insert(name.to_owned());
                }
                ["TYPE", name, "histogram"] => {
                    histograms.insert(name.to_owned());
                }
                _ => {}
            }
            continue;
        }
        let (name, rest) = line.split_once(['{', ' ']).expect("a name and a value");
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
            name.strip_suffix(part)
                .filter(|name| histograms.contains(*name))
        });
        let labels = shown.entry(part.unwrap_or(name).to_owned()).or_default();
        let pairs = rest.split_once('}').map_or("", |(pairs, _)| pairs);
        let names = pairs.split(',').filter_map(|pair| pair.split_once('='));
        labels.extend(
            names
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le"),
        );
    }
    (shown, described)
}

#[tokio::test]
async fn the_table_of_metrics_is_what_a_gateway_shows() {
    // Claims wait here at first, so that this is counted too.
    let pool = json!({"minWarm": 0, "maxTotal": 2});
    let gateway = Gateway::start_cold(Setup::default().with("pool", pool)).await;
    gateway.claim("measured").await;
    let listed = call(&gateway, "measured", "sessions_list", json!({})).await;
    assert_eq!(listed["isError"], false, "{listed}");
    let text = gateway.request(Method::GET, "/metrics").send().await;
    let text = text.expect("an answer").text().await.expect("a body");
    gateway.stop().await;

    let (shown, described) = shown(&text);
    let documented = documented();
    assert!(documented.len() > 10, "the table was not found");
    for (name, labels) in &shown {
        let Some((known, _)) = documented.get(name) else {
            panic!("{name} is not documented");
        };
        assert_eq!(labels, known, "the labels of {name}");
        assert!(described.contains(name), "{name} has no description");
    }
    for (name, (_, always)) in &documented {
        assert_eq!(shown.contains_key(name), *always, "{name}:\n{text}");
    }
    // Every whole stage of the turn, and the turn itself.
    for stage in ["queue", "wait", "prepare", "request", "answer", "turn"] {
        let line = format!("ccpool_turn_stage_seconds_count{{stage=\"{stage}\"}} 1");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    // Commands and calls have the names by which people know them.
    for (metric, op) in [
        ("redis", "claim"),
        ("redis", "push"),
        ("redis", "pipeline"),
        ("runtime", "start"),
        ("runtime", "list"),
    ] {
        let line = format!("ccpool_{metric}_seconds_count{{op=\"{op}\",outcome=\"ok\"}}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let unnamed = ["op=\"other\"", "op=\"evalsha\""];
    assert!(!unnamed.iter().any(|op| text.contains(op)), "{text}");
    assert!(
        text.contains("ccpool_turns_total{outcome=\"completed\"} 1"),
        "{text}"
    );
    // Nothing names a session, and histograms have buckets.
    assert!(
        !text.contains("measured") && !text.contains("quantile="),
        "{text}"
    );
}

#[tokio::test]
async fn a_container_that_is_killed_is_counted_by_its_cause() {
    let gateway = Gateway::start(Setup::default()).await;
    let claimed = gateway.claim("lost").await;
    let container = claimed["container"].as_str().expect("a container");
    let wrapper = gateway.wrapper_of(container).await;
    nix::sys::signal::kill(wrapper, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    const LINE: &str = "ccpool_container_failures_total{cause=\"exited\"} 1";
    crate::parts::eventually(LINE, async || {
        let text = gateway.request(Method::GET, "/metrics").send().await.ok()?;
        text.text().await.ok()?.contains(LINE).then_some(())
    })
    .await;
    gateway.stop().await;
}
