//! `ccpool status`: health and containers of the running gateway.

use serde_json::{Value, json};

use super::command::Global;
use super::error::{CliError, Exit};
use super::gateway_client::GatewayClient;
use super::output::print;
use super::table::{cell, span, table};

/// Prints both. The exit code is 3 when the gateway says that it is unavailable.
pub(crate) async fn run(global: &Global, client: &GatewayClient) -> Result<Exit, CliError> {
    let health = client.get_any("/api/docker-cc/health").await?;
    let pool = client.get::<Value>("/api/docker-cc/pool").await;
    if global.json {
        print(format_args!(
            "{:#}",
            json!({"health": health, "pool": pool.ok()})
        ))?;
    } else {
        let mut lines = of_health(&health);
        if let Ok(pool) = &pool {
            lines.extend(of_pool(pool));
        }
        print(lines.join("\n"))?;
        // Health may be an answer where the pool's own state is out of reach.
        if let Err(error) = pool {
            error.print(false);
        }
    }
    Ok(match health["status"].as_str() {
        Some("unavailable") => Exit::Unavailable,
        Some(_) | None => Exit::Done,
    })
}

fn of_health(health: &Value) -> Vec<String> {
    let mut lines = vec![format!("status:   {}", cell(&health["status"]))];
    let reasons = health["reasons"].as_array().into_iter().flatten();
    lines.extend(reasons.map(|reason| format!("          {}", cell(reason))));
    let warnings = health["warnings"].as_array().into_iter().flatten();
    lines.extend(warnings.map(|warning| format!("warning:  {}", cell(warning))));
    lines.push(format!("version:  {}", cell(&health["version"])));
    lines.push(format!("Redis:    {}", check(&health["redis"])));
    let kind = cell(&health["runtimeKind"]);
    lines.push(format!("runtime:  {kind}, {}", check(&health["runtime"])));
    let (image, claude) = (cell(&health["image"]), cell(&health["claudeVersion"]));
    lines.push(format!("image:    {image} (claude {claude})"));
    lines.push(format!("isolated: {}", cell(&health["isolation"])));
    lines
}

fn check(check: &Value) -> String {
    let latency = check["latencyMs"]
        .as_f64()
        .map(|ms| format!(" ({ms:.1} ms)"));
    let detail = check["detail"].as_str().map(|text| format!(": {text}"));
    match check["ok"].as_bool() {
        Some(true) => format!("answers{}", latency.unwrap_or_default()),
        Some(false) | None => format!("does not answer{}", detail.unwrap_or_default()),
    }
}

fn of_pool(pool: &Value) -> Vec<String> {
    let counts = &pool["counts"];
    let states = [
        "warm", "busy", "assigned", "booting", "creating", "draining", "failed",
    ];
    let mut lines = vec![format!(
        "pool:     {} of {} containers: {}",
        cell(&counts["total"]),
        cell(&pool["limits"]["maxTotal"]),
        states
            .map(|name| format!("{} {name}", cell(&counts[name])))
            .join(", ")
    )];
    let gateways = pool["gateways"].as_array();
    if let Some(gateways) = gateways.filter(|all| all.len() > 1) {
        let shown = gateways.iter().map(|gateway| {
            let words = [("leads", " (leads)"), ("me", " (asked)")];
            let words = words.map(|(key, word)| if gateway[key] == true { word } else { "" });
            format!("{}{}", cell(&gateway["gateway"]), words.concat())
        });
        lines.push(format!(
            "gateways: {}",
            shown.collect::<Vec<_>>().join(", ")
        ));
    }
    if pool["waiting"].as_u64().is_some_and(|waiting| waiting > 0) {
        lines.push(format!("          {} claims wait", cell(&pool["waiting"])));
    }
    if pool["draining"] == true {
        let what = "no claims, no refill (`ccpool pool drain --off` ends it)";
        lines.push(format!("          draining: {what}"));
    }
    let rows: Vec<[String; 5]> = pool["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            let age = container["ageMs"]
                .as_u64()
                .map_or_else(|| "-".to_owned(), span);
            let [name, state, session, agent] =
                ["name", "state", "session", "agent"].map(|key| cell(&container[key]));
            [name, state, session, agent, age]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.push(table(
            ["CONTAINER", "STATE", "SESSION", "AGENT", "AGE"],
            &rows,
        ));
    }
    for failure in pool["failures"].as_array().into_iter().flatten() {
        lines.push(format!(
            "\nfailed: {}: {}",
            cell(&failure["container"]),
            cell(&failure["reason"])
        ));
        let tail = failure["logTail"].as_array().into_iter().flatten();
        lines.extend(tail.map(|line| format!("    {}", cell(line))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_shown_with_its_containers_and_failures() {
        let pool = json!({
            "limits": {"maxTotal": 20}, "draining": true, "waiting": 2,
            "gateways": [{"gateway": "g-1@a", "leads": true, "me": false},
                {"gateway": "g-2@b", "leads": false, "me": true}],
            "counts": {"total": 1, "warm": 1, "busy": 0, "assigned": 0, "booting": 0,
                "creating": 0, "draining": 0, "failed": 0},
            "containers": [{"name": "cc-1", "state": "warm", "session": null, "agent": null,
                "ageMs": 61_000}],
            "failures": [{"container": "c-2", "reason": "it ended", "logTail": ["no key"]}],
        });
        let text = of_pool(&pool).join("\n");
        assert!(
            text.starts_with("pool:     1 of 20 containers: 1 warm, 0 busy"),
            "{text}"
        );
        let gateways = "\ngateways: g-1@a (leads), g-2@b (asked)\n          2 claims wait\n";
        assert!(text.contains(gateways), "{text}");
        assert!(
            text.contains("cc-1       warm   -        -      1m"),
            "{text}"
        );
        assert!(
            text.ends_with("failed: c-2: it ended\n    no key"),
            "{text}"
        );
    }
}
