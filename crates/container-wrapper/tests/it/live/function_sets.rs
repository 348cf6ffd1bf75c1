//! Which functions the caller offers, and what the model gets to see of them.

use serde_json::json;

use super::functions::{act, call, give, offered, result, told, tools, waiting};
use super::play::Play;

/// The model sees what the newest prompt has brought: no more, no less, and nothing of before.
#[tokio::test]
async fn functions_change_between_turns() {
    let mut play = Play::begin().await;
    let names = |play: &Play| {
        let offered = offered(play);
        let pairs = offered.iter().map(|tool| {
            let name = tool["name"].as_str().unwrap();
            let name = ccpool_protocol::function::of_cli(name).unwrap();
            format!("{name}: {}", tool["description"].as_str().unwrap())
        });
        let mut pairs: Vec<String> = pairs.collect();
        pairs.sort();
        pairs
    };
    let said = json!({"text": "Yes."});
    let mut other = tools(&["weather"]);
    other[0]["description"] = json!("something else");
    let turns = [
        (
            Some(tools(&["weather", "time"])),
            vec!["time: does time", "weather: does weather"],
        ),
        (None, vec!["time: does time", "weather: does weather"]),
        (Some(tools(&["weather"])), vec!["weather: does weather"]),
        (Some(other), vec!["weather: something else"]),
        (Some(json!([])), vec![]),
        (None, vec![]),
        (
            Some(tools(&["weather", "time"])),
            vec!["time: does time", "weather: does weather"],
        ),
    ];
    for (number, (functions, expected)) in turns.into_iter().enumerate() {
        let turn = format!("t{number}");
        match functions {
            Some(functions) => act(&mut play, &turn, functions, said.clone()).await,
            None => play.act(&turn, said.clone()).await,
        }
        play.rig.ending(&turn).await;
        assert_eq!(names(&play), expected, "turn {number}");
    }
    // The model calls it by the name that it sees.
    let name = offered(&play)[0]["name"].clone();
    let use_it = json!({"id": "toolu_z", "name": name, "input": {}});
    play.act(
        "last",
        json!([{"toolUse": use_it}, {"text": "{{toolResult}}"}]),
    )
    .await;
    told(&play, "last", 1).await;
    give(&play, "mine", json!([result("toolu_z", "done")])).await;
    assert_eq!(play.rig.ending("last").await["text"], "done");
    play.finish().await;
}

/// Any name is the caller's own, and what it does is told whole.
#[tokio::test]
async fn names_and_descriptions_of_all_kinds() {
    let mut play = Play::begin().await;
    let longest = "n".repeat(64);
    let mut functions = tools(&["Bash", &longest, "a-b_C9"]);
    functions[0]["description"] = json!("word ".repeat(4000));
    functions[1]["parameters"] = json!({});
    let all = json!([
        call("toolu_a", "Bash"),
        call("toolu_b", &longest),
        call("toolu_c", "a-b_C9")
    ]);
    act(
        &mut play,
        "t1",
        functions,
        json!([{"toolUse": all}, {"text": "All."}]),
    )
    .await;
    let calls = told(&play, "t1", 1).await;
    let names: Vec<_> = calls[0].iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["Bash", longest.as_str(), "a-b_C9"]);
    let results = json!([
        result("toolu_a", "1"),
        result("toolu_b", "2"),
        result("toolu_c", "3")
    ]);
    give(&play, "mine", results).await;
    play.rig.ending("t1").await;
    let mut lengths: Vec<_> = offered(&play)
        .iter()
        .map(|tool| tool["description"].as_str().unwrap().len())
        .collect();
    lengths.sort_unstable();
    assert_eq!(lengths.pop(), Some(20_000));
    play.finish().await;
}

/// An operator may want to be asked; a no is the model's result, and nobody waits any more.
#[tokio::test]
async fn a_function_that_needs_a_permission() {
    let settings = json!({"permissions": {"ask": ["mcp__client__weather"]}});
    let mut play = Play::with(|boot| {
        boot.claude.extra_args = vec!["--settings".into(), settings.to_string()];
    })
    .await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "Then not."}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    let asked = play.asked(1).await;
    play.permit(&asked, json!({"behavior": "deny", "message": "no"}))
        .await;
    assert_eq!(play.rig.ending("t1").await["text"], "Then not.");
    let late = give(&play, "late", json!([result("toolu_a", "sunny")])).await;
    assert_eq!(late, [""; 0]);
    play.finish().await;
}

/// What the model is not to call, and what there is not, costs the caller nothing.
#[tokio::test]
async fn a_function_that_there_is_not() {
    let mut play = Play::with(|boot| {
        boot.claude.disallowed_tools = vec!["mcp__client__secret".into()];
    })
    .await;
    let all = json!([call("toolu_a", "secret"), call("toolu_b", "nowhere")]);
    let functions = tools(&["weather", "secret"]);
    act(
        &mut play,
        "t1",
        functions,
        json!([{"toolUse": all}, {"text": "Then not."}]),
    )
    .await;
    assert_eq!(play.rig.ending("t1").await["text"], "Then not.");
    assert_eq!(waiting(&play).await, []);
    assert_eq!(offered(&play).len(), 1);
    play.finish().await;
}

/// A prompt that brings other functions is not steered into a turn that has these.
#[tokio::test]
async fn steering_waits_for_other_functions() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "Steered."}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    let other = json!({"turn": "t2", "text": "[[do: {\"text\": \"By itself.\"}]]", "mode": "steer",
        "functions": tools(&["time"])});
    play.push(other).await;
    give(&play, "mine", json!([result("toolu_a", "sunny")])).await;
    assert_eq!(play.rig.ending("t1").await["text"], "Steered.");
    assert_eq!(play.rig.ending("t2").await["text"], "By itself.");
    assert_eq!(offered(&play)[0]["name"], "mcp__client2__time");
    play.finish().await;
}

/// Functions that cannot be offered end the turn that brings them, and no other.
#[tokio::test]
async fn functions_that_cannot_be_offered() {
    let mut play = Play::begin().await;
    for (turn, functions) in [
        ("t1", tools(&["a b"])),
        ("t2", tools(&["twice", "twice"])),
        (
            "t3",
            json!([{"name": "f", "parameters": {"type": "array"}}]),
        ),
        ("t4", json!([{"name": "f", "parameters": 3}])),
        ("t5", json!(3)),
    ] {
        act(&mut play, turn, functions, json!({"text": "never"})).await;
        assert_eq!(
            play.rig.ending(turn).await["kind"],
            "invalid_request",
            "{turn}"
        );
    }
    play.finish().await;
}

/// The client's own system prompt, in the place of Claude Code's.
#[tokio::test]
async fn another_system_prompt() {
    let more = json!({"systemPrompt": "You are a lighthouse.", "appendSystemPrompt": "You blink."});
    let mut play = Play::assigned(more, |_| {}).await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "{{toolResult}}"}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    give(&play, "mine", json!([result("toolu_a", "foggy")])).await;
    assert_eq!(play.rig.ending("t1").await["text"], "foggy");
    let system = play.asked_model().system_text();
    assert!(
        system.ends_with("You are a lighthouse.\n\nYou blink."),
        "{system}"
    );
    assert!(system.len() < 400, "the default prompt is long: {system}");
    play.finish().await;
}
