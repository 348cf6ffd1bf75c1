//! An answer that breaks off when something of it was said already: nobody begins it anew.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::trio::{MODELS, Trio, asked, assert_answered, passed, play};
use crate::gateway::Setup;
use crate::openai::chat::{Came, Chunks, Piece, chunks_of, post, streamed, words_of};
use crate::parts::eventually;
use crate::proc::children;

/// Which process of the container is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Wrapper,
    Claude,
}

const VICTIMS: [Victim; 2] = [Victim::Wrapper, Victim::Claude];

impl Victim {
    /// Kills it in the container of this session.
    async fn kill(self, trio: &Trio, session: &str) {
        let path = format!("/api/docker-cc/sessions/{session}");
        let info = trio.gateway.get(&path).await;
        let container = info["container"].as_str().expect("a container");
        let wrapper = trio.gateway.wrapper_of(container).await;
        let pid: Pid = match self {
            Self::Wrapper => wrapper,
            Self::Claude => {
                eventually("claude runs", async || children(wrapper).first().copied()).await
            }
        };
        kill(pid, Signal::SIGKILL).expect("it runs");
    }
}

fn session_of(head: &HeaderMap) -> String {
    let session = head["x-ccpool-session"].to_str().expect("ASCII");
    session.to_owned()
}

/// The session of the conversation that hangs, which nobody was told of yet.
async fn session_at_work(trio: &Trio) -> String {
    eventually("a session is at work", async || {
        let listed = trio.gateway.get("/api/docker-cc/sessions").await;
        let mut listed = listed["sessions"].as_array().expect("a list").iter();
        let busy = listed.find(|info| info["status"] == "busy")?;
        busy["session"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn what_is_killed_in_mid_stream_is_told_and_not_replaced() {
    let halts = json!({"text": "one two three four", "delayMs": 20, "stallAfter": 2});
    let trio = Trio::start(&[("halts", [halts, Value::Null, Value::Null])]).await;
    for victim in VICTIMS {
        trio.gateway.wait_warm(1).await;
        let request = post(&trio.gateway, &streamed(asked(&play("halts"))));
        let mut stream = Chunks::of(request).await;
        assert_eq!(stream.response["x-ccpool-provider"], "docker-claude-code");
        let session = session_of(&stream.response);
        let mut pieces = Vec::new();
        while words_of(&pieces) != "one two " {
            pieces.push(stream.next().await.expect("it goes on"));
        }
        victim.kill(&trio, &session).await;
        pieces.extend(stream.rest().await);
        assert_eq!(words_of(&pieces), "one two ", "{victim:?}: {pieces:?}");
        let chunks = chunks_of(&pieces);
        let (last, before) = chunks.split_last().expect("an end");
        assert_eq!(
            last["error"]["code"], "container_lost",
            "{victim:?}: {last}"
        );
        for chunk in before {
            let choice = &chunk["choices"][0];
            assert!(
                chunk["error"].is_null() && choice["finish_reason"].is_null(),
                "{chunk}"
            );
        }
        assert!(!pieces.contains(&Piece::Done), "{pieces:?}");
    }
    assert_eq!(trio.counts(), [2, 0, 0]);
    trio.stop().await;
}

/// A client that gets its answer in one piece has seen nothing, but a tool may have acted.
#[tokio::test]
async fn what_a_tool_did_is_not_done_again_elsewhere() {
    let pool = json!({"minWarm": 1, "maxTotal": 8, "maxPerAgent": 8});
    let setup = Setup::default()
        .with("pool", pool)
        .with("permissions", json!({"allow": ["Bash"]}));
    let trio = Trio::with(setup, &[]).await;
    for victim in VICTIMS {
        trio.gateway.wait_warm(1).await;
        let scene = json!([
            {"text": "Let me.", "toolUse": {"name": "Bash", "input": {"command": "true"}}},
            {"hang": true},
        ]);
        let words = format!("by {victim:?}");
        let body = asked(&format!("{words} [[do: {scene}]]"));
        let before = trio.counts()[0];
        let (came, ()) = tokio::join!(trio.ask(&body), async {
            eventually("the model has the tool's result", async || {
                (trio.counts()[0] == before + 2).then_some(())
            })
            .await;
            victim.kill(&trio, &session_at_work(&trio).await).await;
        });
        assert_eq!(
            came.failure(),
            (503, "container_lost".to_owned()),
            "{came:?}"
        );
        assert_eq!(came.header("x-should-retry"), "false", "{came:?}");
        assert_eq!(passed(&came), [], "{came:?}");
    }
    assert_eq!(trio.counts(), [4, 0, 0]);
    trio.stop().await;
}

#[tokio::test]
async fn what_is_killed_before_its_first_words_is_answered_elsewhere() {
    let trio = Trio::start(&[("hangs", [json!({"hang": true}), Value::Null, Value::Null])]).await;
    for victim in VICTIMS {
        trio.gateway.wait_warm(1).await;
        let words = format!("by {victim:?}");
        let body = asked(&format!("{words} {}", play("hangs")));
        let (came, ()): (Came, ()) = tokio::join!(trio.ask(&body), async {
            trio.wait_for_inside(&words).await;
            victim.kill(&trio, &session_at_work(&trio).await).await;
        });
        assert_answered(&came, 1, &[(MODELS[0], "container_lost")]);
    }
    assert_eq!(trio.counts(), [2, 2, 0]);
    trio.stop().await;
}
