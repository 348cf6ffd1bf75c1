//! A `claude` that is killed at any envelope of a turn. The wrapper lives and starts another one.

use std::collections::BTreeSet;
use std::path::Path;

use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::Client;
use redis::aio::PubSub;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup};
use crate::ledger::{Ledger, only_ending};
use crate::parts::{PATIENCE, eventually};
use crate::proc::children;

/// A turn that takes more envelopes than this is not the one that is played here.
const MOST_ENVELOPES: usize = 100;

/// After so many the wrapper gives up: see `respawns.rs`.
const KILLS_OF_A_SESSION: usize = 3;

/// How far a turn had come that was lost with its `claude`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    Text,
    Tool,
    /// It had ended.
    Over,
}

#[tokio::test]
async fn a_turn_ends_once_at_whichever_envelope_claude_is_killed() {
    let setup = Setup::default()
        .with(
            "pool",
            json!({"minWarm": 2, "maxTotal": 6, "maxPerAgent": 6}),
        )
        .with("permissions", json!({"allow": ["Bash"]}));
    let gateway = Gateway::start(setup).await;
    // Two lanes: one takes the odd numbers, the other the even ones.
    let lane = async |first: usize| {
        let mut stages = BTreeSet::new();
        let mut numbers = (first..MOST_ENVELOPES).step_by(2);
        loop {
            let mut session = Session::claim(&gateway, first, numbers.clone().next()).await;
            for _ in 0..KILLS_OF_A_SESSION {
                let number = numbers.next().expect("a turn has an end of envelopes");
                match session.turn(number).await {
                    Some(stage) => stages.insert(stage),
                    None => return stages,
                };
                session.knows_the_colour().await;
            }
            session.end().await;
        }
    };
    let (mut stages, more) = tokio::join!(lane(1), lane(2));
    stages.extend(more);
    let all = [Stage::Nothing, Stage::Text, Stage::Tool, Stage::Over];
    assert_eq!(stages, BTreeSet::from(all));
    gateway.stop().await;
}

/// One claimed session.
struct Session<'a> {
    gateway: &'a Gateway,
    name: String,
    wrapper: Pid,
    channel: PubSub,
    ledger: Ledger,
    kills: usize,
}

impl<'a> Session<'a> {
    async fn claim(gateway: &'a Gateway, lane: usize, number: Option<usize>) -> Self {
        let name = format!(
            "s-{lane}-{}",
            number.expect("a turn has an end of envelopes")
        );
        let claimed = gateway.claim(&name).await;
        let container = claimed["container"].as_str().expect("a container");
        let ledger = Ledger::of(gateway, &name).await;
        let socket = format!("unix://{}", gateway.redis_socket());
        let client = Client::open(socket).expect("an address");
        let mut channel = client.get_async_pubsub().await.expect("Redis answers");
        let subscribed = channel.subscribe(&ledger.keys.output).await;
        subscribed.expect("a channel can be joined");
        let session = Self {
            wrapper: gateway.wrapper_of(container).await,
            gateway,
            name,
            channel,
            ledger,
            kills: 0,
        };
        let told = json!({"prompt": "My favourite colour is teal. Remember it."});
        let (status, answer) = gateway.turn(&session.name, &told).await;
        assert_eq!(status, 200, "{answer}");
        session
    }

    /// A turn whose `claude` dies at this envelope of it. None: it had fewer.
    async fn turn(&mut self, number: usize) -> Option<Stage> {
        let effect = self.gateway.dir.path().join(format!("effect-{number}"));
        let command = format!("echo ran >> {}", effect.display());
        let scene = json!([
            {"text": "one two", "toolUse": {"name": "Bash", "input": {"command": command}}},
            {"text": "three four"},
        ]);
        let claude = eventually("claude is there", async || {
            children(self.wrapper).first().copied()
        })
        .await;
        let prompt = format!("go {number} [[do: {scene}]]");
        let stream = self.gateway.stream(&self.name, &prompt).await;
        let turn = stream.turn.clone();
        let (messages, killed) = tokio::join!(stream.rest(), async {
            let killed = self.nth_of(&turn, number).await;
            if killed {
                kill(claude, Signal::SIGKILL).expect("claude can be killed");
            }
            killed
        });
        let acted = times(&effect);
        let lists = self.ledger.lists().await;
        lists.assert_gapless();
        let shown = lists.shown(&turn);
        let ending = only_ending(&messages, &shown);
        assert!(!lists.holds(&turn), "{lists:#?}");
        assert!(acted <= 1, "the tool ran {acted} times");
        let asked = self.gateway.model.requests();
        let asked = asked
            .iter()
            .filter(|request| request.stream)
            .filter(|request| request.last_user_text.contains(&format!("go {number} ")));
        let asked: Vec<usize> = asked.map(|request| request.message_count).collect();
        let once: BTreeSet<usize> = asked.iter().copied().collect();
        assert_eq!(asked.len(), once.len(), "it was asked again: {asked:?}");
        if ending["type"] == "completed" {
            assert_eq!((&ending["text"], acted), (&json!("three four"), 1));
            if !killed {
                return None;
            }
            self.kills += 1;
            // A prompt that is given to the dead one, before the wrapper knows, is lost with it.
            let kills = self.kills.to_string();
            self.ledger.wait_for_state("respawns", &kills).await;
            return Some(Stage::Over);
        }
        assert_eq!(ending["kind"], "container_lost", "{ending}");
        // All that it had said was heard, so what it did is known.
        assert!(acted == 0 || shown.tool_effects, "{ending}");
        self.kills += 1;
        Some(match (shown.visible_output, shown.tool_effects) {
            (_, true) => Stage::Tool,
            (true, false) => Stage::Text,
            (false, false) => Stage::Nothing,
        })
    }

    /// Waits for an envelope of a turn. False: the turn has ended before.
    async fn nth_of(&mut self, turn: &str, number: usize) -> bool {
        let mut seen = 0;
        let mut messages = self.channel.on_message();
        loop {
            let message = tokio::time::timeout(PATIENCE, messages.next()).await;
            let message = message.expect("in time").expect("the channel stays");
            let text: String = message.get_payload().expect("text");
            let envelope: Value = serde_json::from_str(&text).expect("an envelope is JSON");
            seen += usize::from(envelope["turn"] == turn);
            if seen == number {
                return true;
            }
            if envelope["line"]["subtype"] == "terminal" && envelope["turn"] == turn {
                return false;
            }
        }
    }

    /// The conversation goes on where it was.
    async fn knows_the_colour(&self) {
        let question = json!({"prompt": "What is my favourite colour?"});
        let (status, answer) = self.gateway.turn(&self.name, &question).await;
        assert_eq!(status, 200, "{answer}");
        let text = answer["result"]["text"].as_str().expect("text");
        assert!(text.contains("teal"), "{answer}");
    }

    async fn end(self) {
        let path = format!("/api/docker-cc/sessions/{}", self.name);
        let request = self.gateway.request(reqwest::Method::DELETE, &path);
        let (status, problem) = crate::gateway::answer(request).await;
        assert_eq!(status, 204, "{problem}");
    }
}

/// How often the tool has run.
fn times(effect: &Path) -> usize {
    std::fs::read_to_string(effect).map_or(0, |text| text.lines().count())
}
