//! What the code on every delta's way costs, and what a look at a full pool costs.
//!
//! The lines are a recorded turn of the real CLI: `cargo bench -p ccpool-benches`.

use std::collections::BTreeMap;
use std::hint::black_box;

use ccpool::plan::{Desired, Observed, plan};
use ccpool::runtime::Presence;
use ccpool::standing::{Fence, Settings, Standing};
use ccpool::{Activity, AgentId, Container, ContainerId, GatewayId, SessionId, TurnId};
use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::framing::LineFramer;
use ccpool_protocol::line::Line;
use ccpool_protocol::record::ContainerState;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::value::RawValue;

const RECORDING: &str =
    include_str!("../../crates/protocol/tests/transcripts/2.1.329/t01_text_multi_turn.jsonl");

/// As a pipe gives them.
const CHUNK: usize = 4096;

const DELTAS: u64 = 100;

#[derive(Deserialize)]
struct Recorded<'a> {
    dir: &'a str,
    #[serde(borrow)]
    line: &'a RawValue,
}

fn lines() -> Vec<&'static str> {
    let recorded = RECORDING.lines().map(|text| {
        serde_json::from_str::<Recorded<'static>>(text).expect("the recording is well-formed")
    });
    recorded
        .filter(|recorded| recorded.dir == "out")
        .map(|recorded| recorded.line.get())
        .collect()
}

fn delta() -> &'static str {
    let found = lines()
        .into_iter()
        .find(|line| line.contains("\"text_delta\""));
    found.expect("the recording has a delta")
}

fn turn() -> TurnId {
    TurnId::new("t1").expect("valid")
}

fn framing(criterion: &mut Criterion) {
    let stdout = lines().join("\n") + "\n";
    let mut group = criterion.benchmark_group("framing");
    group.throughput(Throughput::Bytes(stdout.len() as u64));
    group.bench_function("a recorded session", |bencher| {
        bencher.iter(|| {
            let mut framer = LineFramer::default();
            let mut count = 0;
            for chunk in stdout.as_bytes().chunks(CHUNK) {
                framer.feed(chunk);
                while let Some(line) = framer.next_line() {
                    count += usize::from(line.is_ok());
                }
            }
            count
        });
    });
    group.finish();
}

fn fold(criterion: &mut Criterion) {
    let (delta, turn) = (delta(), turn());
    let stamp = Stamp {
        turn: &turn,
        seq: 1,
        at: 1,
    };
    criterion.bench_function("parse a delta", |bencher| {
        bencher.iter(|| Line::parse(black_box(delta)).expect("a line"));
    });
    let mut group = criterion.benchmark_group("parse and fold");
    group.throughput(Throughput::Elements(DELTAS));
    group.bench_function("an answer of 100 deltas", |bencher| {
        bencher.iter(|| {
            let mut fold = Fold::new(Ending::ByWrapper);
            let parsed = (0..DELTAS).map(|_| Line::parse(black_box(delta)).expect("a line"));
            parsed
                .map(|line| fold.push(stamp, line).len())
                .sum::<usize>()
        });
    });
    group.finish();
    let lines = lines();
    criterion.bench_function("parse and fold a recorded session", |bencher| {
        bencher.iter(|| {
            let mut fold = Fold::new(Ending::ByResult);
            let parsed = lines
                .iter()
                .filter_map(|line| Line::parse(black_box(line)).ok());
            parsed
                .map(|line| fold.push(stamp, line).len())
                .sum::<usize>()
        });
    });
}

fn envelope(criterion: &mut Criterion) {
    let line = RawValue::from_string(delta().to_owned()).expect("a line is JSON");
    let envelope = Envelope {
        seq: 17,
        turn: turn(),
        at: 1_795_195_419_675,
        line,
    };
    let json = envelope.to_json();
    criterion.bench_function("encode an envelope", |bencher| {
        bencher.iter(|| black_box(&envelope).to_json());
    });
    criterion.bench_function("decode an envelope", |bencher| {
        bencher.iter(|| Envelope::parse(black_box(&json)).expect("an envelope"));
    });
}

fn planning(criterion: &mut Criterion) {
    let desired = Desired {
        min_warm: 40,
        max_total: 120,
        startup_ms: 30_000,
        idle_ms: 300_000,
        max_age_ms: 3_600_000,
        heartbeat_ms: 20_000,
        tools_required: true,
        fingerprint: "print".to_owned(),
        surplus_ms: 60_000,
        draining: false,
        leaving: false,
    };
    let observed = hundred();
    criterion.bench_function("plan for 100 containers", |bencher| {
        bencher.iter(|| plan(black_box(&desired), black_box(&observed)));
    });
}

/// Some of every kind: warm, booting, busy, idle.
fn hundred() -> Observed {
    let now = 10_000_000;
    let containers: Vec<Container> = (0..100).map(|number| container(number, now)).collect();
    let present: BTreeMap<ContainerId, Presence> = containers
        .iter()
        .map(|c| (c.id.clone(), Presence::Running))
        .collect();
    Observed {
        standing: Standing {
            now,
            fence: Some(Fence(1)),
            leader: Some(me()),
            trouble: None,
            gateways: vec![me()],
            settings: Settings::default(),
            emptied: false,
            settled: true,
        },
        me: me(),
        containers,
        present: Some(present),
        waiting: 0,
        refill_allowance: 4,
        now,
    }
}

fn container(number: u64, now: u64) -> Container {
    let state = match number % 4 {
        0 => ContainerState::Warm,
        1 => ContainerState::Creating,
        _ => ContainerState::Assigned,
    };
    let assigned = state == ContainerState::Assigned;
    let since = |ms: u64| Some(now - ms);
    let id = ContainerId::from_random(number);
    Container {
        state,
        session: assigned.then(|| SessionId::new(format!("s{number}")).expect("valid")),
        agent: assigned.then(AgentId::default),
        owner: assigned.then(|| me().to_string()),
        runtime_id: Some(format!("{number:064}")),
        tools_listed_at: since(59_000),
        warm_at: (state != ContainerState::Creating).then_some(now - 59_000),
        assigned_at: assigned.then_some(now - 30_000),
        registered_at: since(59_500),
        ready_at: since(59_100),
        heartbeat: since(1_000),
        activity: assigned.then(|| Activity {
            turn: (number % 4 == 2).then(turn),
            last_activity: now - 2_000,
            ..Activity::default()
        }),
        ..Container::reserved(id, me().host(), "print", now - 60_000)
    }
}

fn me() -> GatewayId {
    GatewayId::from_random(1, "here")
}

criterion_group!(micro, framing, fold, envelope, planning);
criterion_main!(micro);
