//! Prompts at set times: made, listed and removed by the model, carried out once.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use redis::AsyncCommands;
use reqwest::Method;
use serde_json::{Value, json};

use super::direct::data;
use super::receiver::Receiver;
use super::{call, text};
use crate::gateway::{Gateway, Setup, answer};
use crate::parts::eventually;

const DUE: &str = "clawdbot:cc:pool:cron:due";
const MINUTE: i64 = 60_000;

fn later(by: SignedDuration) -> String {
    (Timestamp::now() + by).to_string()
}

/// Has the model make a job; its id.
async fn create(gateway: &Gateway, session: &str, input: Value) -> String {
    let made = call(gateway, session, "cron_create", input).await;
    assert_eq!(made["isError"], false, "{made}");
    let told = text(&made);
    let id = told
        .strip_prefix("Job ")
        .and_then(|rest| rest.split_once(" is set. Next: "));
    id.unwrap_or_else(|| panic!("{told}")).0.to_owned()
}

/// Has a prompt set for tomorrow; the job's id.
async fn tomorrow(gateway: &Gateway, session: &str, prompt: &str) -> String {
    let at = later(SignedDuration::from_hours(24));
    create(gateway, session, json!({"at": at, "prompt": prompt})).await
}

async fn list(gateway: &Gateway, session: &str) -> Value {
    data(gateway, session, "cron_list", json!({})).await
}

async fn refused(gateway: &Gateway, session: &str, tool: &str, input: Value) -> String {
    let refused = call(gateway, session, tool, input).await;
    assert_eq!(refused["isError"], true, "{refused}");
    text(&refused)
}

/// A job as it is written down.
async fn job(gateway: &Gateway, id: &str) -> HashMap<String, String> {
    let key = format!("clawdbot:cc:pool:cron:job:{id}");
    let read = gateway.redis().await.hgetall(key).await;
    read.expect("a hash")
}

/// Makes a job due, by so many milliseconds late.
async fn make_due(gateway: &Gateway, id: &str, late: i64) {
    let due = Timestamp::now().as_millisecond() - late;
    let key = format!("clawdbot:cc:pool:cron:job:{id}");
    let mut pipe = redis::pipe();
    pipe.atomic().hset(key, "due", due).zadd(DUE, id, due);
    let made = pipe.exec_async(&mut gateway.redis().await).await;
    made.expect("it can be written");
}

/// Lets the time be over for which a run was given out.
async fn expire(gateway: &Gateway, id: &str) {
    let now = Timestamp::now().as_millisecond();
    let done: Result<(), _> = gateway.redis().await.zadd(DUE, id, now).await;
    done.expect("it can be written");
}

/// Waits until a job has a last outcome; the job then.
async fn ran(gateway: &Gateway, id: &str) -> HashMap<String, String> {
    eventually("the job has run", async || {
        let job = job(gateway, id).await;
        (job.contains_key("lastOutcome") && job["state"] != "firing").then_some(job)
    })
    .await
}

/// How often the model was asked with this prompt, and not with one that makes a job of it.
fn asked(gateway: &Gateway, prompt: &str) -> usize {
    let requests = gateway.model.requests();
    let asked = requests.iter().filter(|request| {
        let text = &request.last_user_text;
        request.stream && text.contains(prompt) && !text.contains("[[do:")
    });
    asked.count()
}

async fn until_asked(gateway: &Gateway, prompt: &str) {
    eventually("the model gets the prompt", async || {
        (asked(gateway, prompt) > 0).then_some(())
    })
    .await;
}

async fn end(gateway: &Gateway, session: &str) -> u16 {
    let path = format!("/api/docker-cc/sessions/{session}");
    answer(gateway.request(Method::DELETE, &path)).await.0
}

#[tokio::test]
async fn a_job_is_made_carried_out_listed_and_removed() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("mine").await;
    let at = later(SignedDuration::from_secs(15));
    let input = json!({"name": "Tea", "at": at, "prompt": "the tea is ready"});
    let id = create(&gateway, "mine", input).await;
    until_asked(&gateway, "the tea is ready").await;
    assert!(later(SignedDuration::ZERO) >= at, "not before its time");
    let kept = ran(&gateway, &id).await;
    assert_eq!((&*kept["state"], &*kept["runs"]), ("done", "1"), "{kept:?}");
    let listed = list(&gateway, "mine").await;
    let shown = &listed["jobs"][0];
    assert_eq!(
        (&shown["id"], &shown["name"]),
        (&json!(id), &json!("Tea")),
        "{shown}"
    );
    assert_eq!(
        (&shown["status"], &shown["runs"]),
        (&json!("done"), &json!(1)),
        "{shown}"
    );
    assert_eq!(
        shown["what"],
        "prompt to session mine: \"the tea is ready\""
    );
    let outcome = shown["lastOutcome"].as_str().expect("an outcome");
    assert!(
        outcome.starts_with("ok: prompt sent to mine as turn t-"),
        "{shown}"
    );
    assert_eq!(asked(&gateway, "the tea is ready"), 1);
    let told = text(&call(&gateway, "mine", "cron_list", json!({})).await);
    assert!(
        told.starts_with("1 jobs of agent main") && told.contains(&id),
        "{told}"
    );

    let schedule = json!({
        "schedule": "0 9 * * 1-5", "timeZone": "America/New_York", "prompt": "good morning",
    });
    let again = create(&gateway, "mine", schedule).await;
    let listed = list(&gateway, "mine").await;
    assert_eq!(listed["total"], 2, "{listed}");
    let next = listed["jobs"][1]["next"].as_str().expect("a time");
    assert!(next.contains("T09:00:00-0"), "on the zone's clock: {next}");
    for id in [&id, &again] {
        let removed = call(&gateway, "mine", "cron_delete", json!({"id": id})).await;
        assert_eq!(text(&removed), format!("Job {id} is removed."));
        let told = refused(&gateway, "mine", "cron_delete", json!({"id": id})).await;
        assert!(told.contains("no job"), "{told}");
    }
    let left: Vec<String> = gateway
        .redis()
        .await
        .keys("*pool:cron:*")
        .await
        .expect("keys");
    assert_eq!(left, Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn an_agents_jobs_are_invisible_to_others() {
    let setup = Setup::default()
        .with("pool", json!({"minWarm": 2, "maxTotal": 4}))
        .with("tools", json!({"cron": {"maxJobs": 1}}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    gateway.wait_warm(1).await;
    let body = json!({"session": "theirs", "agent": "other"});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &body).await;
    assert_eq!(status, 201, "{claimed}");
    let id = tomorrow(&gateway, "mine", "secret plans").await;

    let listed = list(&gateway, "theirs").await;
    assert_eq!(
        (&listed["agent"], &listed["total"]),
        (&json!("other"), &json!(0)),
        "{listed}"
    );
    assert_eq!(listed["jobs"], json!([]));
    let at = later(SignedDuration::from_hours(1));
    for (session, tool, input, told) in [
        ("theirs", "cron_delete", json!({"id": id}), "no job"),
        (
            "theirs",
            "cron_create",
            json!({"at": at, "prompt": "x", "session": "mine"}),
            "no session",
        ),
        (
            "theirs",
            "cron_create",
            json!({"at": at, "prompt": "x", "session": "nobodys"}),
            "no session",
        ),
        (
            "theirs",
            "cron_create",
            json!({"at": at, "prompt": "x", "agent": "main"}),
            "unknown field",
        ),
        (
            "theirs",
            "cron_create",
            json!({"schedule": "0 0 31 2 *", "prompt": "x"}),
            "never comes",
        ),
        (
            "theirs",
            "cron_create",
            json!({"schedule": "9 o'clock", "prompt": "x"}),
            "five fields",
        ),
        (
            "theirs",
            "cron_create",
            json!({"at": "2001-01-31T09:00:00Z", "prompt": "x"}),
            "it is 20",
        ),
        (
            "theirs",
            "cron_create",
            json!({"at": at, "message": "x", "channel": "c"}),
            "no channel",
        ),
        (
            "mine",
            "cron_create",
            json!({"at": at, "prompt": "x"}),
            "may not have more",
        ),
    ] {
        let said = refused(&gateway, session, tool, input).await;
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(job(&gateway, &id).await["state"], "waiting");
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_that_has_ended_is_begun_anew_for_its_own_agent_only() {
    let setup = Setup::default().with("pool", json!({"minWarm": 2, "maxTotal": 4}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    let first = tomorrow(&gateway, "mine", "are you still there").await;
    let second = tomorrow(&gateway, "mine", "and now").await;
    assert_eq!(end(&gateway, "mine").await, 204);
    make_due(&gateway, &first, 0).await;
    until_asked(&gateway, "are you still there").await;
    ran(&gateway, &first).await;
    assert_eq!(end(&gateway, "mine").await, 204);

    // Somebody else has taken the name.
    let body = json!({"session": "mine", "agent": "other"});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &body).await;
    assert_eq!(status, 201, "{claimed}");
    make_due(&gateway, &second, 0).await;
    let kept = ran(&gateway, &second).await;
    assert!(kept["lastOutcome"].contains("another agent's"), "{kept:?}");
    assert_eq!(asked(&gateway, "and now"), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn of_two_gateways_one_carries_out_each_run() {
    let first = Gateway::start(Setup::default()).await;
    let second = first.beside().await;
    first.claim("mine").await;
    let prompts = ["number one", "number two", "number three", "number four"];
    let mut jobs = Vec::new();
    for prompt in prompts {
        jobs.push(tomorrow(&first, "mine", prompt).await);
    }
    for id in &jobs {
        make_due(&first, id, 0).await;
    }
    for id in &jobs {
        let kept = ran(&first, id).await;
        assert_eq!((&*kept["state"], &*kept["runs"]), ("done", "1"), "{kept:?}");
    }
    for prompt in prompts {
        until_asked(&first, prompt).await;
    }
    for prompt in prompts {
        assert_eq!(asked(&first, prompt), 1, "{prompt}");
    }
    second.stop().await;
    first.stop().await;
}

/// The gateway that has taken the run dies while it waits for a container.
#[tokio::test]
async fn a_run_whose_gateway_died_is_carried_out_by_another_one() {
    let pool = json!({"minWarm": 1, "maxTotal": 1, "claimTimeoutMs": 60_000});
    let mut first = Gateway::start(Setup::default().with("pool", pool)).await;
    let mut second = first.beside().await;
    first.claim("mine").await;
    let id = tomorrow(&first, "mine", "come what may").await;
    assert_eq!(end(&first, "mine").await, 204);
    first.wait_warm(1).await;
    first.claim("in-the-way").await;
    make_due(&first, &id, 0).await;
    let owner = eventually("somebody takes it", async || {
        let job = job(&first, &id).await;
        job.get("gateway").cloned()
    })
    .await;
    let pool = first.get("/api/docker-cc/pool").await;
    let gateways = pool["gateways"].as_array().expect("gateways");
    let me = gateways.iter().find(|gateway| gateway["me"] == true);
    let me = me.expect("itself")["gateway"].as_str().expect("an id");
    let survivor = if owner == me {
        first.crash().await;
        second
    } else {
        second.crash().await;
        first
    };
    // It is in nobody's way any more, or died with its gateway.
    end(&survivor, "in-the-way").await;
    survivor.wait_warm(1).await;
    assert_eq!(asked(&survivor, "come what may"), 0);
    let kept = job(&survivor, &id).await;
    assert_eq!(
        (&*kept["state"], &*kept["attempt"]),
        ("firing", "1"),
        "{kept:?}"
    );
    expire(&survivor, &id).await;
    let kept = ran(&survivor, &id).await;
    assert_eq!((&*kept["state"], &*kept["runs"]), ("done", "1"), "{kept:?}");
    assert!(kept["lastOutcome"].starts_with("ok"), "{kept:?}");
    until_asked(&survivor, "come what may").await;
    assert_eq!(asked(&survivor, "come what may"), 1);
    survivor.stop().await;
}

/// As if the gateway had died after the prompt was sent, and before it wrote that down.
#[tokio::test]
async fn a_run_that_is_begun_again_sends_no_second_prompt() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("mine").await;
    let id = tomorrow(&gateway, "mine", "once and for all").await;
    make_due(&gateway, &id, 0).await;
    let before = ran(&gateway, &id).await;
    until_asked(&gateway, "once and for all").await;
    let key = format!("clawdbot:cc:pool:cron:job:{id}");
    let fields = [
        ("state", "firing"),
        ("due", &before["lastRun"]),
        ("attempt", "1"),
    ];
    let mut redis = gateway.redis().await;
    let () = redis.hdel(&key, "lastOutcome").await.expect("written");
    let () = redis.hset_multiple(&key, &fields).await.expect("written");
    expire(&gateway, &id).await;
    let after = ran(&gateway, &id).await;
    assert_eq!(after["lastOutcome"], before["lastOutcome"], "the same turn");
    assert_eq!(after["runs"], "2", "{after:?}");
    // What comes after it has come alone.
    let (status, next) = gateway.turn("mine", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    assert_eq!(asked(&gateway, "once and for all"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_missed_while_no_gateway_ran_is_late_once_or_left_out() {
    let mut gateway = Gateway::start(Setup::default()).await;
    gateway.claim("mine").await;
    let again = json!({"schedule": "0 0 1 1 *", "prompt": "happy new year"});
    let again = create(&gateway, "mine", again).await;
    let once = tomorrow(&gateway, "mine", "better late").await;
    let stale = tomorrow(&gateway, "mine", "too late").await;
    gateway.terminate().await;
    for (id, late) in [(&again, 10), (&once, 10), (&stale, 120)] {
        make_due(&gateway, id, late * MINUTE).await;
    }
    gateway.restart().await;
    let kept = ran(&gateway, &again).await;
    assert_eq!(
        (&*kept["state"], &*kept["runs"]),
        ("waiting", "1"),
        "{kept:?}"
    );
    assert!(kept["lastOutcome"].starts_with("ok"), "{kept:?}");
    let kept = ran(&gateway, &once).await;
    assert_eq!((&*kept["state"], &*kept["runs"]), ("done", "1"), "{kept:?}");
    let kept = ran(&gateway, &stale).await;
    assert_eq!((&*kept["state"], &*kept["runs"]), ("done", "0"), "{kept:?}");
    assert!(kept["lastOutcome"].starts_with("missed"), "{kept:?}");
    for prompt in ["happy new year", "better late"] {
        until_asked(&gateway, prompt).await;
        assert_eq!(asked(&gateway, prompt), 1, "{prompt}");
    }

    gateway.terminate().await;
    gateway.reconfigure(|config| config["tools"]["cron"]["missed"] = json!("skip"));
    make_due(&gateway, &again, 10 * MINUTE).await;
    gateway.restart().await;
    let kept = eventually("it is left out", async || {
        let job = job(&gateway, &again).await;
        job["lastOutcome"].starts_with("missed").then_some(job)
    })
    .await;
    assert_eq!(
        (&*kept["state"], &*kept["runs"]),
        ("waiting", "1"),
        "{kept:?}"
    );
    assert_eq!(asked(&gateway, "happy new year"), 1);
    assert_eq!(asked(&gateway, "too late"), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_leaves_at_its_time_and_once() {
    let receiver = Receiver::start([]).await;
    let channel = json!({"kind": "slack", "url": receiver.url("/hook")});
    let setup = Setup::default().with("tools", json!({"message": {"channels": {"ops": channel}}}));
    let first = Gateway::start(setup).await;
    let second = first.beside().await;
    first.claim("mine").await;
    let at = later(SignedDuration::from_hours(24));
    let wish = json!({"at": at, "message": "the build is green", "channel": "ops"});
    let id = create(&first, "mine", wish.clone()).await;
    let mut unknown = wish;
    unknown["channel"] = json!("pos");
    let told = refused(&first, "mine", "cron_create", unknown).await;
    assert!(told.contains("there are ops"), "{told}");
    make_due(&first, &id, 0).await;
    let kept = ran(&first, &id).await;
    assert_eq!(kept["lastOutcome"], "ok: message sent to ops");
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert!(
        received[0]
            .json()
            .to_string()
            .contains("the build is green")
    );
    second.stop().await;
    first.stop().await;
}
