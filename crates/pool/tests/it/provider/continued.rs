//! Conversations without a name: known again by what was said.

use ccpool::Event;
use ccpool::provider::{Content, ImageSource, Message, SystemMode, ToolChoice};

use super::stage::{Stage, Talk, count, told};

/// Begins the frame in which a history is handed over.
const FRAME: &str = "<conversation>";

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test]
async fn a_follow_up_sends_only_what_is_new_to_the_same_process() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    talk.0.system = Some("You are a parrot of the client.".to_owned());
    let first = stage.say(&mut talk, "My favourite colour is teal.").await;
    let second = stage.say(&mut talk, "What is my favourite colour?").await;
    let third = stage
        .say(&mut talk, "[[do: {\"text\":\"the third\"}]]")
        .await;
    assert_eq!([&second.session, &third.session], [&first.session; 2]);
    assert!(second.text.contains("teal"), "{second:?}");
    assert_eq!(third.text, "the third");

    let asked = stage.asked("What is my favourite colour?");
    assert_eq!(count(&asked, "My favourite colour is teal."), 1);
    assert_eq!(count(&asked, &first.text), 1);
    assert_eq!(count(&asked, "What is my favourite colour?"), 1);
    assert_eq!(count(&asked, FRAME), 0);
    assert!(asked.system_text().contains("a parrot of the client"));
    let turns = stage.pool.session(&first.session).await.unwrap().turns;
    assert_eq!(turns, 3);
    stage.stop().await;
}

#[tokio::test]
async fn tools_thoughts_and_images_do_not_break_it() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "[[script:tool]]").await;
    assert!(first.text.starts_with("Let me run that.\n\n"), "{first:?}");
    talk.0.messages.push(Message::User(vec![
        Content::Text("look".to_owned()),
        Content::Image(ImageSource::Base64 {
            media_type: "image/png".to_owned(),
            data: PIXEL.to_owned(),
        }),
        Content::Text("[[script:thinking]]".to_owned()),
    ]));
    let second = stage.go_on(&mut talk).await;
    // A client may trim what it was sent.
    let last = talk.0.messages.last_mut().unwrap();
    *last = Message::assistant(format!(" {}\n", second.text));
    let third = stage.say(&mut talk, "and?").await;
    assert_eq!([&second.session, &third.session], [&first.session; 2]);
    let asked = stage.asked("and?");
    let body = asked.body().unwrap()["messages"].to_string();
    assert_eq!(body.matches(PIXEL).count(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_repeated_after_a_broken_stream_is_said_once_and_expected_back_so() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let scene = r#"{"attempts": [
        {"text": "Whole after a break in the middle", "delayMs": 50, "disconnectAfter": 3},
        {"text": "Whole after a broken connection."}
    ]}"#;
    let first = stage.say(&mut talk, &format!("[[do: {scene}]]")).await;
    let whole = "Whole after a broken connection.";
    // As far as it had come when it broke.
    let again = [
        "Whole after a\n\n",
        "Whole after a break\n\n",
        "Whole after a \n\n",
        "",
    ];
    let forms = again.map(|before| match before {
        "" => whole.to_owned(),
        before => format!("{before}broken connection."),
    });
    assert!(forms.contains(&first.text), "{first:?}");
    let second = stage.say(&mut talk, "go on").await;
    assert_eq!(second.session, first.session);
    stage.stop().await;
}

#[tokio::test]
async fn an_edited_history_begins_anew_and_is_handed_over() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "My favourite colour is teal.").await;
    stage.say(&mut talk, "Thank you.").await;
    let edited = &mut talk.0.messages[0];
    *edited = Message::user("My favourite colour is ochre.");
    let third = stage.say(&mut talk, "What is my favourite colour?").await;
    assert_ne!(third.session, first.session);
    let asked = stage.asked("What is my favourite colour?");
    assert_eq!(count(&asked, FRAME), 1);
    for said in [
        "\nMy favourite colour is ochre.\n",
        "\nThank you.\n",
        "What is my favourite colour?",
    ] {
        assert_eq!(count(&asked, said), 1, "{said}");
    }
    assert_eq!(count(&asked, "teal."), count(&asked, &first.text));
    // From there it goes on.
    let fourth = stage.say(&mut talk, "And now?").await;
    assert_eq!(fourth.session, third.session);
    stage.stop().await;
}

#[tokio::test]
async fn callers_models_agents_and_system_prompts_are_kept_apart() {
    let stage = Stage::new().await;
    let mut first = Talk::of("a");
    first.0.system = Some("one".to_owned());
    let begun = stage.say(&mut first, "hello").await;
    let mut others = vec![first.clone(); 5];
    others[0].0.caller = "b".to_owned();
    others[1].0.model = Some("haiku".to_owned());
    others[2].0.agent = "other".parse().unwrap();
    others[3].0.system = Some("two".to_owned());
    others[4].0.system_mode = SystemMode::Replace;
    for mut other in others {
        let told = stage.say(&mut other, "again").await;
        assert_ne!(told.session, begun.session, "{:?}", other.0);
        assert_eq!(count(&stage.asked("again"), FRAME), 1);
        stage.pool.end(&told.session).await.unwrap();
    }
    // Nobody has taken it meanwhile.
    first.0.model = Some("docker-claude-code/sonnet".to_owned());
    let other = stage.say(&mut first.clone(), "hm").await;
    assert_ne!(other.session, begun.session);
    first.0.model = None;
    let told = stage.say(&mut first, "and here").await;
    assert_eq!(told.session, begun.session);
    stage.stop().await;
}

#[tokio::test]
async fn of_two_that_go_on_at_once_one_begins_anew() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "hello").await;
    let mut other = talk.clone();
    let (one, other) = tokio::join!(
        stage.say(&mut talk, "this way"),
        stage.say(&mut other, "that way"),
    );
    let sessions = [&one.session, &other.session];
    assert_ne!(one.session, other.session);
    assert!(sessions.contains(&&first.session));
    let frames = ["this way", "that way"].map(|prompt| count(&stage.asked(prompt), FRAME));
    assert_eq!(frames.iter().sum::<usize>(), 1, "{frames:?}");
    stage.stop().await;
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced_unseen() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "My favourite colour is teal.").await;
    stage.pool.end(&first.session).await.unwrap();
    let second = stage.say(&mut talk, "What is my favourite colour?").await;
    assert_ne!(second.session, first.session);
    assert!(second.text.contains("teal"), "{second:?}");
    assert!(matches!(second.ending, Event::Completed(_)));
    stage.stop().await;
}

#[tokio::test]
async fn of_two_that_are_the_same_word_for_word_one_session_remains() {
    let stage = Stage::new().await;
    let (mut one, mut other) = (Talk::of("a"), Talk::of("a"));
    let first = stage.say(&mut one, "[[script:hello]]").await;
    let second = stage.say(&mut other, "[[script:hello]]").await;
    assert_eq!(first.text, second.text);
    assert_ne!(first.session, second.session);
    stage.ended(&first.session).await;
    let told = stage.say(&mut one, "on").await;
    assert_eq!(told.session, second.session);
    stage.stop().await;
}

#[tokio::test]
async fn a_wish_for_a_tool_is_told_the_model() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    talk.0.tool_choice = ToolChoice::Function("weather".to_owned());
    talk.0.messages.push(Message::user("hello"));
    let told = told(stage.reply(&talk).await.unwrap()).await;
    assert!(matches!(told.ending, Event::Completed(_)), "{told:?}");
    assert_eq!(count(&stage.asked("tool `weather`."), "hello"), 1);
    stage.stop().await;
}
