//! A hostile process with a container's Redis credentials tries every command of the server, on
//! everything that is not its own.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::{Commands, Connection, IntoConnectionInfo, RedisConnectionInfo, Value};

use crate::scene::{PASSWORD, Scene};

/// What the wrapper may call, on its own keys and channels.
const MAY: [&str; 14] = [
    "blmove",
    "evalsha",
    "hget",
    "hmget",
    "hset",
    "lrange",
    "lrem",
    "ltrim",
    "pexpire",
    "ping",
    "publish",
    "rpush",
    "set",
    "subscribe",
];
/// About the connection itself; nobody can be kept from calling them.
const ALWAYS: [&str; 4] = ["auth", "hello", "quit", "reset"];

/// What came of an attempt.
#[derive(Debug)]
enum Outcome {
    /// For want of the right.
    Refused,
    /// For another reason.
    Invalid,
    Answered(Value),
}

struct Intruder {
    client: redis::Client,
    connection: Connection,
}

impl Intruder {
    fn enter(scene: &Scene) -> Self {
        let login = RedisConnectionInfo::default()
            .set_username(scene.users.names().name(&scene.intruder))
            .set_password(PASSWORD)
            .set_skip_set_lib_name();
        let socket = redis::ConnectionAddr::Unix(scene.redis.socket().to_owned());
        let info = socket.into_connection_info().unwrap();
        let client = redis::Client::open(info.set_redis_settings(login)).unwrap();
        let connection = Self::connect(&client);
        Self { client, connection }
    }

    fn connect(client: &redis::Client) -> Connection {
        let connection = client.get_connection().unwrap();
        // Whatever blocks has got through.
        let limit = Some(Duration::from_secs(10));
        connection.set_read_timeout(limit).unwrap();
        connection
    }

    fn again(&mut self) {
        self.connection = Self::connect(&self.client);
    }

    fn attempt(&mut self, words: &[String]) -> Outcome {
        let mut command = redis::cmd(&words[0]);
        command.arg(&words[1..]);
        match command.query::<Value>(&mut self.connection) {
            Ok(value) => Outcome::Answered(value),
            Err(error) if matches!(error.code(), Some("NOPERM" | "NOAUTH" | "EXECABORT")) => {
                Outcome::Refused
            }
            // Some commands are closed to everybody by the server's own configuration.
            Err(error) if error.to_string().contains("command not allowed") => Outcome::Refused,
            Err(error) if error.is_io_error() => panic!("{words:?}: {error}"),
            Err(_) => Outcome::Invalid,
        }
    }
}

/// Whether an answer holds something of another session's.
fn tells(answer: &Value) -> bool {
    match answer {
        Value::BulkString(bytes) => bytes.windows(6).any(|part| part == b"secret"),
        Value::SimpleString(text) => text.contains("secret"),
        Value::Array(parts) => parts.iter().any(tells),
        Value::Nil | Value::Int(_) | Value::Okay => false,
        other => panic!("{other:?}"),
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A command with `target` in each of its first places, and `fill` in the others.
fn forms(name: &str, arity: i64, target: &str, fill: &str) -> Vec<Vec<String>> {
    let name = words(&name.replace('|', " "));
    let least = usize::try_from(arity.unsigned_abs()).unwrap();
    let least = least.saturating_sub(name.len());
    let most = if arity < 0 { least + 2 } else { least };
    let mut forms = Vec::new();
    for count in least..=most {
        if count == 0 {
            forms.push(name.clone());
        }
        for place in 0..count.min(4) {
            let mut form = name.clone();
            form.extend((0..count).map(|at| if at == place { target } else { fill }.to_owned()));
            forms.push(form);
        }
    }
    forms
}

/// Tries every command of the server on every target, in every form.
fn try_everything(scene: &Scene, own: &str) {
    let mut intruder = Intruder::enter(scene);
    let mut refused = BTreeSet::new();
    let (commands, targets) = (scene.commands(), scene.targets());
    for (name, arity) in &commands {
        if ALWAYS.contains(&name.as_str()) {
            continue;
        }
        for target in &targets {
            for fill in ["1", own] {
                for form in forms(name, *arity, target, fill) {
                    match intruder.attempt(&form) {
                        Outcome::Refused => {
                            refused.insert(name.clone());
                        }
                        Outcome::Invalid => {}
                        // With a key of its own; what it wrote is seen in the end.
                        Outcome::Answered(answer) if MAY.contains(&name.as_str()) => {
                            assert!(!tells(&answer), "{form:?}: {answer:?}");
                        }
                        Outcome::Answered(answer) => panic!("{form:?}: {answer:?}"),
                    }
                }
            }
        }
    }
    for (name, _) in &commands {
        let may = MAY.contains(&name.as_str()) || ALWAYS.contains(&name.as_str());
        assert!(may || refused.contains(name), "{name} was never refused");
    }
    // Of what it may call, everything that names a key or a channel was refused as well.
    for name in MAY.iter().filter(|name| **name != "ping") {
        assert!(refused.contains(*name), "{name} was never refused");
    }
}

/// What somebody who knows Redis would try.
fn try_tricks(scene: &Scene, own: &str) {
    let their = scene.session("theirs");
    let (input, buffer, result, state) = (
        &their.input,
        &their.output_buffer,
        &their.result,
        &their.state,
    );
    let prefix = scene.keys.prefix();
    let record = scene.container(&scene.other).record;
    let me = scene.users.names().name(&scene.intruder);
    let mut lines = vec![
        format!("BLMOVE {input} {own} LEFT RIGHT 0.01"),
        format!("BLMOVE {own} {input} LEFT RIGHT 0.01"),
        format!("LMOVE {input} {own} LEFT RIGHT"),
        format!("RPOPLPUSH {input} {own}"),
        format!("COPY {buffer} {own} REPLACE"),
        format!("RENAME {buffer} {own}"),
        format!("SORT {own} BY nosort GET {prefix}theirs:*"),
        format!("SORT {own} BY nosort GET {result} STORE {own}"),
        format!("SORT_RO {own} BY nosort GET {result}"),
        format!("SORT {buffer} ALPHA STORE {own}"),
        format!("SET {result} x KEEPTTL GET"),
        format!("SET {own} x GET IFEQ {result}"),
        format!("MGET {own} {result}"),
        format!("MSET {own} x {result} x"),
        format!("HMGET {state} turn status"),
        format!("HSET {record} state warm"),
        format!("LCS {own} {result}"),
        format!("DUMP {result}"),
        format!("RESTORE {result} 0 x REPLACE"),
        format!("MIGRATE 127.0.0.1 1 {result} 0 10 COPY"),
        format!("OBJECT ENCODING {result}"),
        format!("MEMORY USAGE {result}"),
        format!("DEBUG OBJECT {result}"),
        "DEBUG SLEEP 60".to_owned(),
        format!("WATCH {result}"),
        "MULTI".to_owned(),
        "EXEC".to_owned(),
        "SCAN 0 MATCH *".to_owned(),
        "KEYS *".to_owned(),
        "RANDOMKEY".to_owned(),
        format!("EXISTS {result}"),
        format!("TOUCH {result}"),
        format!("XREAD STREAMS {prefix}theirs:stream 0"),
        format!("XREADGROUP GROUP g c STREAMS {prefix}theirs:stream >"),
        format!("SUBSCRIBE {}", their.output),
        format!("SUBSCRIBE {}", their.control),
        format!("PSUBSCRIBE {prefix}*"),
        "PSUBSCRIBE *".to_owned(),
        format!("SSUBSCRIBE {}", their.output),
        format!("PUBLISH {} shutdown", their.control),
        format!("PUBLISH {} shutdown", scene.container(&scene.other).control),
        format!("PUBLISH {} ended", their.output),
        "PUBSUB CHANNELS *".to_owned(),
        "MONITOR".to_owned(),
        "CLIENT LIST".to_owned(),
        "CLIENT KILL TYPE normal".to_owned(),
        "CLIENT PAUSE 60000".to_owned(),
        "CLIENT NO-EVICT on".to_owned(),
        format!("CLIENT TRACKING on BCAST PREFIX {prefix}"),
        "CONFIG GET *".to_owned(),
        "CONFIG GET requirepass".to_owned(),
        "CONFIG SET requirepass x".to_owned(),
        "CONFIG SET dir /tmp".to_owned(),
        "CONFIG REWRITE".to_owned(),
        "ACL LIST".to_owned(),
        "ACL WHOAMI".to_owned(),
        format!("ACL GETUSER {me}"),
        format!("ACL SETUSER {me} ~* &* +@all"),
        "ACL SETUSER default nopass".to_owned(),
        format!("ACL DELUSER {me}"),
        "ACL LOG".to_owned(),
        "AUTH x".to_owned(),
        "AUTH default x".to_owned(),
        "HELLO 3 AUTH default x".to_owned(),
        "REPLICAOF 127.0.0.1 1".to_owned(),
        "PSYNC ? -1".to_owned(),
        "SYNC".to_owned(),
        "SHUTDOWN NOSAVE".to_owned(),
        "SAVE".to_owned(),
        "BGSAVE".to_owned(),
        "BGREWRITEAOF".to_owned(),
        "FLUSHALL".to_owned(),
        "FLUSHDB".to_owned(),
        "SWAPDB 0 1".to_owned(),
        "SELECT 1".to_owned(),
        format!("MOVE {result} 1"),
        "MODULE LOAD /tmp/x.so".to_owned(),
        "FUNCTION LIST".to_owned(),
        format!("FCALL f 1 {result}"),
        "SLOWLOG GET".to_owned(),
        "INFO".to_owned(),
        "SCRIPT FLUSH".to_owned(),
        "SCRIPT KILL".to_owned(),
        "LATENCY DOCTOR".to_owned(),
        "CLUSTER NODES".to_owned(),
        "DBSIZE".to_owned(),
    ];
    // Scripts of its own, and every script of the pool's by its SHA-1.
    let mut tricks = Vec::new();
    for script in [
        "return redis.call('GET', KEYS[1])",
        "return redis.call('KEYS', '*')",
        "return 1",
        "while true do end",
    ] {
        for command in ["EVAL", "EVAL_RO"] {
            for keys in [&["1", result][..], &["1", own], &["0"]] {
                let call = [&[command, script], keys].concat();
                tricks.push(call.into_iter().map(str::to_owned).collect());
            }
        }
        tricks.push(["SCRIPT", "LOAD", script].map(str::to_owned).to_vec());
        let body = format!("#!lua name=x\nredis.register_function('f', function() {script} end)");
        let load = ["FUNCTION", "LOAD", &body].map(str::to_owned);
        tricks.push(load.to_vec());
    }
    for sha in scripts(scene) {
        for keys in [
            format!("0 {prefix} theirs main 9 x y 99999999999999 z 1500"),
            format!("0 {prefix} new main 9 x y 99999999999999 z 1500 {prefix}theirs"),
            format!("1 {result} 1"),
            format!("2 {record} {own} 1"),
            format!(
                "5 {buffer} {} {state} {result} {} 1 9 x 0 0 0",
                their.output, their.inflight
            ),
            format!(
                "5 {own} {} {own} {own} {own} 999999999999 9 x 1 0 0 x",
                their.output
            ),
            format!("5 {own} {own} {state} {own} {own} 999999999999 9 x 0 0 0"),
            format!("5 {own} {own} {own} {result} {own} 999999999999 9 x 0 0 0"),
            format!("4 {own} {own} {own} {own} theirs main 9 {prefix}pool:container:"),
        ] {
            lines.push(format!("EVALSHA {sha} {keys}"));
            lines.push(format!("EVALSHA_RO {sha} {keys}"));
        }
    }
    tricks.extend(lines.iter().map(|line| words(line)));
    let mut intruder = Intruder::enter(scene);
    for trick in tricks {
        if let Outcome::Answered(answer) = intruder.attempt(&trick) {
            panic!("{trick:?}: {answer:?}");
        }
    }
    // What changes who it is gets it no further.
    for change in ["RESET", "HELLO 2", "HELLO 3", "AUTH x", "AUTH default x"] {
        intruder.again();
        intruder.attempt(&words(change));
        for trick in [format!("GET {result}"), format!("LRANGE {input} 0 -1")] {
            let outcome = intruder.attempt(&words(&trick));
            assert!(matches!(outcome, Outcome::Refused), "{change}: {outcome:?}");
        }
    }
}

/// The SHA-1 of each script that is loaded when a pool is at work.
fn scripts(scene: &Scene) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
    let mut texts = vec![ccpool::protocol::scripts::PUBLISH.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(texts.len() > 8, "{}", texts.len());
    let mut admin = scene.admin();
    let load = |text: &String| redis::cmd("SCRIPT").arg("LOAD").arg(text).query(&mut admin);
    texts.iter().map(load).collect::<Result<_, _>>().unwrap()
}

/// Carries out the attack with somebody who hears every message, and compares before and after.
fn attack(scene: &Scene, own: &[String], channels: &[String]) {
    let mut ear = scene.admin();
    let mut ear = ear.as_pubsub();
    ear.psubscribe("*").unwrap();
    let own_list = &scene.container(&scene.intruder).inbox;
    scripts(scene);
    let before = scene.snapshot(own);
    assert!(before.len() > 15, "{before:?}");
    try_everything(scene, own_list);
    try_tricks(scene, own_list);
    assert_eq!(scene.snapshot(own), before);
    let () = scene.admin().publish("the end", "").unwrap();
    loop {
        let message = ear.get_message().unwrap();
        match message.get_channel_name() {
            "the end" => break,
            channel => assert!(channels.iter().any(|own| own == channel), "{channel}"),
        }
    }
}

/// A part of the test that waits for Redis in its thread.
async fn blocking(scene: Scene, part: impl FnOnce(&Scene) + Send + 'static) -> Scene {
    let part = tokio::task::spawn_blocking(move || {
        part(&scene);
        scene
    });
    part.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_a_session_reaches_nothing_of_anybody() {
    let scene = Scene::new().await;
    let scene = blocking(scene, |scene| {
        let mine = scene.container(&scene.intruder);
        let own = [mine.report.clone(), mine.inbox.clone()];
        attack(scene, &own, &[mine.control, scene.keys.events()]);
        // The session that it will serve is not its own before the claim.
        let mut intruder = Intruder::enter(scene);
        let push = words(&format!("RPUSH {} x", scene.session("mine").output_buffer));
        assert!(matches!(intruder.attempt(&push), Outcome::Refused));
        let report = words(&format!("HSET {} heartbeat 1", mine.report));
        assert!(matches!(intruder.attempt(&report), Outcome::Answered(_)));
    })
    .await;
    scene.redis.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_container_reaches_its_own_session_and_nothing_else() {
    let scene = Scene::new().await;
    scene.claim("mine", &scene.intruder).await;
    let scene = blocking(scene, |scene| {
        let (mine, session) = (scene.container(&scene.intruder), scene.session("mine"));
        let mut intruder = Intruder::enter(scene);
        let sha = &scripts(scene)[0];
        for line in [
            format!("BLMOVE {0} {0} LEFT LEFT 1", mine.inbox),
            format!("HSET {} heartbeat 1", mine.report),
            format!("PEXPIRE {} 60000", mine.report),
            format!("HMGET {} seq batch", session.state),
            format!("RPUSH {} item", session.inflight),
            format!("LRANGE {} 0 -1", session.inflight),
            format!("PUBLISH {} c-1", scene.keys.events()),
            format!(
                "EVALSHA {sha} 6 {} {} {} {} {} {} 1 9 done 1 0 1 1 9 envelope item entry",
                session.output_buffer,
                session.output,
                session.state,
                session.result,
                session.inflight,
                session.transcript
            ),
        ] {
            let outcome = intruder.attempt(&words(&line));
            assert!(
                matches!(outcome, Outcome::Answered(_)),
                "{line}: {outcome:?}"
            );
        }
        let mut channels = intruder.connection.as_pubsub();
        channels
            .subscribe(&[&session.control, &mine.control])
            .unwrap();
        let result: String = scene.admin().get(&session.result).unwrap();
        assert_eq!(result, "done");

        let own = [
            mine.report,
            mine.inbox,
            session.input,
            session.inflight,
            session.output_buffer,
            session.state,
            session.result,
            session.transcript,
        ];
        let channels = [
            mine.control,
            scene.keys.events(),
            session.output,
            session.control,
        ];
        attack(scene, &own, &channels);
    })
    .await;
    scene.redis.stop().await;
}
