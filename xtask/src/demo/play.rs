use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::PoolView;
use super::gateway::WARM;
use super::outcome::Outcome;
use super::stage::Stage;
use super::story::Story;
use super::timing::{TimingTable, millis};
use super::turn::Turn;

const TOLD: &str = "My favourite colour is teal. Remember it and answer in one short sentence.";
const ASKED: &str = "What is my favourite colour?";
const REMEMBERED: &str = "teal";

/// From nothing to two warm containers, on a slow machine.
const WARM_UP: Duration = Duration::from_secs(120);
/// For one container to come in another's place.
const REPLACEMENT: Duration = Duration::from_secs(60);

/// Tells the story on a set stage and notes what held.
///
/// # Errors
/// What kept it from being told to its end.
pub(crate) fn play(stage: &Stage, story: &mut Story, outcome: &mut Outcome) -> Result<()> {
    let first = warm_up(stage, story)?;

    story.chapter("A session: one warm container is claimed for it");
    let client = stage.gateway.client();
    let explained = |error| stage.gateway.explained(error);
    let claim = client
        .claim("demo")
        .context("cannot claim a container")
        .map_err(explained)?;
    let pid = stage.witness.claude_pid(&claim.container)?;
    story.line(format_args!(
        "session {} has container {} after {:.1} ms{}",
        claim.session,
        claim.container,
        claim.claim_ms,
        if claim.waited { ", having waited" } else { "" }
    ));

    for (number, prompt) in [(1, TOLD), (2, ASKED)] {
        story.chapter(format_args!("Turn {number}"));
        let mut turn = Turn::play(client, &claim, prompt, story)
            .with_context(|| format!("turn {number}"))
            .map_err(explained)?;
        if number == 1 {
            turn.timing.claim_ms = Some(claim.claim_ms);
        }
        let failed = turn.failure.is_some();
        describe(&turn, story);
        outcome.turns.push(turn);
        if failed {
            return Ok(());
        }
    }
    compare(stage, &claim.container, pid, story, outcome)?;

    story.chapter("Where the time went (milliseconds; `at` counts from the prompt)");
    let timings: Vec<_> = outcome.turns.iter().map(|turn| turn.timing).collect();
    story.line(TimingTable(&timings));

    story.chapter("The session ends");
    let began = Instant::now();
    client
        .end(&claim.session)
        .context("cannot end the session")
        .map_err(explained)?;
    let took = millis(began.elapsed());
    let known = client.pool()?.containers;
    let forgotten = known.iter().all(|other| other.container != claim.container);
    let gone = stage.witness.is_gone(&claim.container)?;
    outcome.container_destroyed = forgotten && gone;
    if outcome.container_destroyed {
        let command = stage.witness.command();
        story.line(format_args!(
            "container {} is destroyed: neither the pool nor `{command}` knows it ({took} ms)",
            claim.container
        ));
    }
    let view = stage
        .gateway
        .wait_for(REPLACEMENT, |view| {
            view.warm().len() >= WARM
                && view
                    .warm()
                    .iter()
                    .any(|new| !first.contains(&(*new).to_owned()))
        })
        .context("waiting for a new warm container")?;
    outcome.replaced = true;
    for container in &view.containers {
        if !first.contains(&container.container) {
            story.line(format_args!(
                "container {} is {} in its place",
                container.container, container.state
            ));
        }
    }
    story.line(stage.witness.table(&view.containers)?);
    Ok(())
}

/// Waits for warm containers, telling each change; their ids.
fn warm_up(stage: &Stage, story: &mut Story) -> Result<Vec<String>> {
    story.chapter(format_args!(
        "Warming up: {WARM} containers, each with Claude Code booted and answering"
    ));
    let began = Instant::now();
    let mut told = BTreeMap::new();
    let view = stage
        .gateway
        .wait_for(WARM_UP, |view| {
            tell_changes(view, &mut told, began, story);
            view.warm().len() >= WARM
        })
        .with_context(|| format!("waiting for {WARM} warm containers"))?;
    story.gap();
    story.line(stage.witness.table(&view.containers)?);
    Ok(view.warm().into_iter().map(str::to_owned).collect())
}

fn tell_changes(
    view: &PoolView,
    told: &mut BTreeMap<String, String>,
    began: Instant,
    story: &mut Story,
) {
    let at = began.elapsed().as_secs_f64();
    for container in &view.containers {
        let before = told.insert(container.container.clone(), container.state.clone());
        if before.as_ref() != Some(&container.state) {
            story.line(format_args!(
                "{at:5.1} s  {}  {}",
                container.name, container.state
            ));
        }
    }
    for failure in &view.failures {
        let key = format!("failure of {}", failure.container);
        if told.insert(key, String::new()).is_none() {
            let reason = &failure.reason;
            story.warn(format_args!("{} failed: {reason}", failure.container));
        }
    }
}

fn describe(turn: &Turn, story: &mut Story) {
    let started = &turn.started;
    story.line(format_args!(
        "({}, Claude Code {}, container {}, CLI session {})",
        started.model,
        started.claude_version,
        turn.container.as_deref().unwrap_or("unknown"),
        started.cli_session_id
    ));
}

/// Notes whether the second turn came from the process of the first, and remembered it.
fn compare(
    stage: &Stage,
    container: &str,
    pid: Option<u32>,
    story: &mut Story,
    outcome: &mut Outcome,
) -> Result<()> {
    let [first, second] = outcome.turns.as_slice() else {
        return Ok(());
    };
    let now = stage.witness.claude_pid(container)?;
    outcome.remembered = second.text.to_lowercase().contains(REMEMBERED);
    outcome.same_process = pid == now
        && first.container.as_deref() == Some(container)
        && first.container == second.container
        && !first.started.cli_session_id.is_empty()
        && first.started.cli_session_id == second.started.cli_session_id;
    story.gap();
    if outcome.remembered {
        story.line(format_args!(
            "It remembers `{REMEMBERED}`, which only the first prompt said."
        ));
    }
    if outcome.same_process {
        match now {
            Some(pid) => story.line(format_args!(
                "The same process answered both times: pid {pid}, the same container and CLI session."
            )),
            None => story.line("The same container and CLI session answered both times."),
        }
    }
    Ok(())
}
