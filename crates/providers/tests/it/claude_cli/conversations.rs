//! Which conversation goes on in which process.

use ccpool::provider::{Content, Conversation, ImageSource, Message, SystemMode};
use ccpool::{Event, OutputSchema};
use serde_json::{Map, json};

use super::rig::{Answer, Rig, scene};

#[tokio::test]
async fn an_answer_is_streamed() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    let answer = rig.say(&mut conversation, "Are you there?").await;
    assert_eq!(answer.completed(), "You said: Are you there?");
    assert_eq!(answer.text, "You said: Are you there?");
    let names = answer.names();
    assert_eq!(names[0], "started");
    let deltas = names.iter().filter(|name| **name == "text_delta").count();
    assert!(deltas > 1, "{names:?}");
    let Event::Completed(completed) = answer.ending() else {
        panic!("{:?}", answer.ending());
    };
    // The model was asked once.
    assert!(completed.usage.prompt() > 0, "{completed:?}");
    assert_eq!(completed.answer_usage, Some(completed.usage));
    rig.finish().await;
}

#[tokio::test]
async fn a_conversation_goes_on_in_its_process() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    let first = rig
        .say(&mut conversation, "My favourite colour is teal.")
        .await;
    let process = rig.process();
    for _ in 0..2 {
        let next = rig
            .say(&mut conversation, "What is my favourite colour?")
            .await;
        assert!(next.completed().contains("teal"), "{}", next.text);
        assert_eq!(next.session, first.session);
        assert_eq!(rig.process(), process);
    }
    let told = rig.told();
    assert_eq!(
        told.matches("My favourite colour is teal.").count(),
        1,
        "{told}"
    );
    // Three prompts and two answers; beside them the CLI may say things of its own.
    assert_eq!(answers(&rig), 2);
    rig.finish().await;
}

/// Also without any tool of its own, which is the default here.
#[tokio::test]
async fn an_answer_in_a_form_is_part_of_what_was_said() {
    let rig = Rig::new().await;
    let mut schema = Map::new();
    schema.insert("required".to_owned(), json!(["town"]));
    let mut conversation = Conversation {
        output_schema: Some(OutputSchema::new(schema).unwrap()),
        ..Conversation::default()
    };
    let mut processes = Vec::new();
    for town in ["Bonn", "Ulm"] {
        let output = json!({"town": town});
        let call = json!({"name": "StructuredOutput", "input": output});
        let prompt = scene(&json!({"text": "Let me see.", "toolUse": call}));
        conversation.messages.push(Message::user(prompt));
        let answer = Answer::of(rig.reply(&conversation).await.unwrap()).await;
        let Event::Completed(completed) = answer.ending() else {
            panic!("{:?}", answer.ending());
        };
        assert_eq!(completed.structured_output, Some(output.clone()));
        let said = Message::assistant(output.to_string());
        conversation.messages.push(said);
        processes.push(rig.process());
    }
    assert_eq!(processes[0], processes[1]);
    rig.finish().await;
}

#[tokio::test]
async fn what_was_changed_begins_anew_with_what_was_said() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    let first = rig
        .say(&mut conversation, "My favourite colour is teal.")
        .await;
    let process = rig.process();
    let mut edited = conversation.clone();
    edited.messages[0] = Message::user("My favourite colour is red.");
    let other = rig.say(&mut edited, "Which one is it?").await;
    other.completed();
    assert_ne!(other.session, first.session);
    let told = rig.told();
    assert!(
        told.contains("My favourite colour is red.")
            && !told.contains("My favourite colour is teal."),
        "{told}"
    );
    assert_eq!(answers(&rig), 0, "it was told in the prompt");
    assert_eq!(rig.processes().len(), 2);
    // The one that was left goes on as if nothing had happened.
    let mut others = rig.processes();
    let next = rig
        .say(&mut conversation, "What is my favourite colour?")
        .await;
    assert!(next.completed().contains("teal"), "{}", next.text);
    assert_eq!(next.session, first.session);
    assert_eq!(rig.processes(), others);
    assert!(others.remove(&process.as_raw()));
    rig.finish().await;
}

#[tokio::test]
async fn nobody_gets_into_anothers_conversation() {
    let rig = Rig::new().await;
    let mut theirs = Conversation {
        caller: "them".to_owned(),
        ..Conversation::default()
    };
    let first = rig.say(&mut theirs, "My favourite colour is teal.").await;
    let changes: [fn(&mut Conversation); 4] = [
        |other| other.caller = "us".to_owned(),
        |other| other.model = Some("sonnet".to_owned()),
        |other| other.system = Some("Be short.".to_owned()),
        |other| other.name = Some("mine".to_owned()),
    ];
    let mut sessions = vec![first.session];
    for change in changes {
        let mut other = theirs.clone();
        change(&mut other);
        let answer = rig.say(&mut other, "Go on.").await;
        answer.completed();
        assert!(!sessions.contains(&answer.session), "{sessions:?}");
        sessions.push(answer.session);
    }
    rig.finish().await;
}

#[tokio::test]
async fn two_that_say_the_same_at_once_have_a_process_each() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    rig.say(&mut conversation, "Hello.").await;
    let (mut one, mut two) = (conversation.clone(), conversation);
    let (one, two) = tokio::join!(rig.say(&mut one, "Go on."), rig.say(&mut two, "Go on."));
    assert_eq!(
        (one.completed(), two.completed()),
        ("You said: Go on.", "You said: Go on.")
    );
    assert_ne!(one.session, two.session);
    rig.finish().await;
}

#[tokio::test]
async fn the_clients_system_prompt_and_model_reach_the_model() {
    let rig = Rig::new().await;
    let mut conversation = Conversation {
        model: Some("claude-cli/haiku".to_owned()),
        system: Some("Speak like a pirate.".to_owned()),
        ..Conversation::default()
    };
    rig.say(&mut conversation, "Hello.").await.completed();
    let asked = rig.asked();
    let appended = asked.system_text();
    assert!(appended.contains("Speak like a pirate."), "{appended}");
    let model = asked.model.clone().unwrap();
    assert!(model.contains("haiku"), "{model}");
    let mut replaced = Conversation {
        system_mode: SystemMode::Replace,
        messages: Vec::new(),
        ..conversation
    };
    rig.say(&mut replaced, "Hello.").await.completed();
    let replaced = rig.asked().system_text();
    assert!(replaced.contains("Speak like a pirate."), "{replaced}");
    assert!(replaced.len() < appended.len() / 2, "{replaced}");
    rig.finish().await;
}

#[tokio::test]
async fn images_reach_the_model() {
    // One pixel.
    const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let rig = Rig::new().await;
    let image = ImageSource::Base64 {
        media_type: "image/png".to_owned(),
        data: PIXEL.to_owned(),
    };
    let content = vec![Content::Text("See?".to_owned()), Content::Image(image)];
    let mut conversation = Conversation {
        messages: vec![Message::User(content)],
        ..Conversation::default()
    };
    rig.answer(&mut conversation).await.completed();
    let told = rig.told();
    assert!(told.contains(r#""media_type":"image/png""#), "{told}");
    rig.finish().await;
}

/// How many answers of its own the model was shown last.
fn answers(rig: &Rig) -> usize {
    let body = rig.asked().body().unwrap();
    let messages = body["messages"].as_array().unwrap().iter();
    messages
        .filter(|message| message["role"] == "assistant")
        .count()
}
