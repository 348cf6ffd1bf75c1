use ccpool_protocol::function::FunctionResult;

use super::*;

impl Play {
    /// The model calls a function of the caller's: the call `cN`, which the CLI asks for as `qN`.
    pub(super) fn calls_a_function(&mut self) {
        if self.awake().is_some_and(|cli| cli.running.is_some()) {
            self.calls += 1;
            let id = format!("c{}", self.calls);
            self.says(
                &json!({"type": "assistant", "message": {"id": format!("m{id}"), "content":
                [{"type": "tool_use", "id": id, "name": "mcp__client__f", "input": {}}]}}),
            );
            self.asks_the_server(&json!({"id": self.calls, "method": "tools/call", "params":
                {"name": "f", "_meta": {"claudecode/toolUseId": id}}}));
        }
    }

    /// The CLI has a message for the server.
    pub(super) fn asks_the_server(&mut self, message: &Value) {
        let request = format!(
            "q{}{}",
            self.calls,
            message["method"].as_str().unwrap_or("")
        );
        self.says(
            &json!({"type": "control_request", "request_id": request, "request":
            {"subtype": "mcp_message", "server_name": "client", "message": message}}),
        );
    }

    pub(super) fn cancels_a_call(&mut self) {
        if self.awake().is_some() {
            let message = json!({"method": "notifications/cancelled", "params":
                {"requestId": self.calls}});
            self.calls += 1;
            self.asks_the_server(&message);
        }
    }

    /// The caller gives the newest call's result.
    pub(super) fn gives(&mut self) {
        let result = FunctionResult::text(format!("c{}", self.calls), "sunny");
        let control = Control::FunctionResults {
            ticket: "mine".into(),
            results: vec![result],
        };
        self.session(|session, now, out| session.control(control, now, out));
    }

    /// What the server has answered to the request that begins so.
    fn reply(&self, request: &str) -> Option<&Value> {
        let mut written = self.written.iter();
        let line = written.rfind(|line| {
            let id = line["response"]["request_id"].as_str();
            id.is_some_and(|id| id.starts_with(request))
        });
        Some(&line?["response"]["response"]["mcp_response"])
    }

    fn with_a_function() -> Self {
        let policy = Policy {
            function_ms: 5_000,
            ..POLICY
        };
        let mut play = Self::with(policy, 1_000, None);
        play.push(json!({"turn": "t1", "text": "one", "functions": [{"name": "f"}]}));
        play.begins();
        play
    }
}

/// A call waits longer than a stall may last, and not for ever.
#[test]
fn a_call_waits_for_its_time_and_no_longer() {
    let mut play = Play::with_a_function();
    play.calls_a_function();
    assert_eq!(play.said("function_calls"), 1);
    play.waits(4_900);
    assert!(play.endings().is_empty() && play.reply("q1").is_none());
    play.waits(200);
    play.ended(&[("t1", "timeout")]);
    assert_eq!(play.state("functions"), Some(""));
    assert!(play.starts.is_empty() && play.signals.is_empty());
}

/// From the result on silence counts again.
#[test]
fn a_turn_that_has_its_result_may_stall() {
    let mut play = Play::with_a_function();
    play.calls_a_function();
    play.waits(4_000);
    play.gives();
    let reply = play.reply("q1").unwrap();
    assert_eq!(reply["result"]["content"][0]["text"], "sunny");
    assert_eq!(reply["id"], 1);
    play.says(&json!({"type": "user", "message": {"content":
        [{"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}]}}));
    play.waits(2_000);
    play.ended(&[("t1", "stalled")]);
}

/// One that does not end when its time is over is ended.
#[test]
fn a_claude_that_does_not_let_go_of_a_call_is_replaced() {
    let mut play = Play::with_a_function();
    play.calls_a_function();
    play.cli.as_mut().unwrap().stubborn = true;
    // Its time, that of an interrupt, and that of a process to end.
    play.waits(5_000 + 5_000 + 3_000 + 100);
    play.ended(&[("t1", "container_lost")]);
    assert_eq!(play.starts.len(), 1);
    // The next prompt brings the functions again.
    let sets = |play: &Play| {
        let written = play.written.iter();
        let sets = written.filter(|line| line["request"]["subtype"] == "mcp_set_servers");
        sets.count()
    };
    assert_eq!(sets(&play), 1);
    play.push(json!({"turn": "t2", "text": "two"}));
    assert_eq!(sets(&play), 2);
}

#[test]
fn the_server_knows_its_protocol() {
    let mut play = Play::with_a_function();
    let initialize = json!({"id": 0, "method": "initialize", "params": {"protocolVersion": "x"}});
    play.asks_the_server(&initialize);
    let reply = play.reply("q0").unwrap();
    assert_eq!(
        (&reply["id"], &reply["result"]["protocolVersion"]),
        (&json!(0), &json!("x"))
    );
    play.asks_the_server(&json!({"id": 1, "method": "tools/list"}));
    let listed = play.reply("q0").unwrap();
    let tool = &listed["result"]["tools"][0];
    assert_eq!(
        (&tool["name"], &tool["inputSchema"]["type"]),
        (&json!("f"), &json!("object"))
    );
    play.asks_the_server(&json!({"id": 2, "method": "resources/list"}));
    assert_eq!(play.reply("q0").unwrap()["error"]["code"], -32601);
    play.asks_the_server(&json!({"method": "notifications/initialized"}));
    let noted = play.reply("q0").unwrap();
    assert_eq!((noted.get("id"), &noted["result"]), (None, &json!({})));
    for broken in [
        json!(null),
        json!(5),
        json!({"id": 3, "method": "tools/call"}),
    ] {
        let before = play.written.len();
        play.asks_the_server(&broken);
        assert_eq!(play.written.len(), before + 1, "{broken}");
    }
    play.says(
        &json!({"type": "control_request", "request_id": "other", "request":
        {"subtype": "mcp_message", "server_name": "elsewhere", "message": initialize}}),
    );
    let refused = play.written.last().unwrap();
    assert_eq!(refused["response"]["subtype"], "error");
    play.finishes();
    play.ended(&[("t1", "completed")]);
}

/// Nobody would hear of it.
#[test]
fn a_call_between_turns_is_refused() {
    let mut play = Play::with_a_function();
    play.finishes();
    play.calls = 7;
    play.asks_the_server(&json!({"id": 7, "method": "tools/call", "params":
        {"name": "f", "_meta": {"claudecode/toolUseId": "c7"}}}));
    assert_eq!(play.reply("q7").unwrap()["result"]["isError"], true);
    assert_eq!(play.said("function_calls"), 0);
    play.gives();
    assert!(play.state("functionsTaken").unwrap().contains("\"ids\":[]"));
}

/// What a turn leaves behind is answered at its end, for a background task that still waits.
#[test]
fn the_end_of_a_turn_ends_its_calls() {
    let mut play = Play::with_a_function();
    play.calls_a_function();
    play.finishes();
    assert_eq!(play.reply("q1").unwrap()["result"]["isError"], true);
    assert_eq!(play.state("functions"), Some(""));
    play.ended(&[("t1", "completed")]);
}

#[test]
fn a_call_that_is_withdrawn_takes_no_result() {
    let mut play = Play::with_a_function();
    play.calls_a_function();
    play.cancels_a_call();
    assert_eq!(play.state("functions"), Some(""));
    play.calls = 1;
    play.gives();
    assert!(play.reply("q1tools").is_none());
    play.finishes();
    play.ended(&[("t1", "completed")]);
}
