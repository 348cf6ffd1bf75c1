//! What a process has heard and said so far, and whether a conversation goes on from there.

use ccpool::provider::{Content, Conversation, FunctionCall, Message, SystemMode};
use ccpool::{AgentId, OutputSchema};

/// A conversation as a process knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Memory {
    caller: String,
    name: Option<String>,
    agent: AgentId,
    model: Option<String>,
    system: Option<String>,
    system_mode: SystemMode,
    output_schema: Option<OutputSchema>,
    said: Vec<Said>,
}

/// A message without what clients change when they send it again.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    User(Vec<Content>),
    Assistant(String, Vec<FunctionCall>),
    Tool(String, Vec<Content>),
}

impl Memory {
    /// Of a process that is about to hear all of this.
    pub(super) fn of(conversation: &Conversation) -> Self {
        Self {
            caller: conversation.caller.clone(),
            name: conversation.name.clone(),
            agent: conversation.agent.clone(),
            model: conversation.model.clone(),
            system: conversation.system.clone(),
            system_mode: conversation.system_mode,
            output_schema: conversation.output_schema.clone(),
            said: conversation.messages.iter().filter_map(Said::of).collect(),
        }
    }

    /// How many messages of the conversation it knows, if the conversation goes on from exactly what it
    /// knows: the rest, of which there is some, is not the model's.
    pub(super) fn known(&self, conversation: &Conversation) -> Option<usize> {
        let told = Self::of(conversation);
        let (known, new) = told.said.split_at_checked(self.said.len())?;
        let ours = |said: &Said| matches!(said, Said::Assistant(..));
        let fits = known == self.said && !new.is_empty() && !new.iter().any(ours);
        let same = Self {
            said: self.said.clone(),
            ..told
        };
        (fits && same == *self).then(|| self.length_in(conversation))
    }

    /// How long it is where it is told with asides.
    fn length_in(&self, conversation: &Conversation) -> usize {
        let messages = conversation.messages.iter().enumerate();
        let mut said = messages.filter(|(_, message)| Said::of(message).is_some());
        let last = self.said.len().checked_sub(1);
        let last = last.and_then(|last| said.nth(last));
        last.map_or(0, |(at, _)| at + 1)
    }

    /// It has said this.
    pub(super) fn say(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.said.push(Said::Assistant(text.to_owned(), Vec::new()));
        }
    }
}

impl Said {
    /// None: it is no part of what was said.
    fn of(message: &Message) -> Option<Self> {
        match message {
            Message::User(content) => Some(Self::User(plain(content))),
            Message::Assistant { text, calls } => {
                Some(Self::Assistant(text.trim().to_owned(), calls.clone()))
            }
            Message::Tool { call, content } => Some(Self::Tool(call.clone(), plain(content))),
            Message::Aside(_) => None,
        }
    }
}

/// Texts that follow each other are one: clients send one text as a string or in parts.
fn plain(content: &[Content]) -> Vec<Content> {
    let mut plain: Vec<Content> = Vec::new();
    for part in content {
        match (plain.last_mut(), part) {
            (Some(Content::Text(before)), Content::Text(text)) => {
                before.push('\n');
                before.push_str(text.trim());
            }
            (_, Content::Text(text)) => plain.push(Content::Text(text.trim().to_owned())),
            (_, Content::Image(_)) => plain.push(part.clone()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn conversation(messages: &[Message]) -> Conversation {
        Conversation {
            caller: "c".to_owned(),
            messages: messages.to_vec(),
            ..Conversation::default()
        }
    }

    /// After one question and its answer.
    fn memory() -> Memory {
        let mut memory = Memory::of(&conversation(&[Message::user("one")]));
        memory.say("two\n");
        memory
    }

    #[test]
    fn what_goes_on_from_there_fits() {
        let (one, two, three) = (
            Message::user("one "),
            Message::assistant("two"),
            Message::user("three"),
        );
        let told = [one, two, three.clone()];
        assert_eq!(memory().known(&conversation(&told)), Some(2));
        let more = [told.as_slice(), &[three]].concat();
        assert_eq!(memory().known(&conversation(&more)), Some(2));
        let parts = Message::User(vec![Content::Text("a".into()), Content::Text("b".into())]);
        let memory = Memory::of(&conversation(&[parts]));
        let told = [Message::user("a\nb"), Message::user("c")];
        assert_eq!(memory.known(&conversation(&told)), Some(1));
    }

    #[test]
    fn asides_are_no_part_of_it() {
        let aside = Message::Aside(vec![Content::Text("now".to_owned())]);
        let mut memory = Memory::of(&conversation(&[Message::user("one"), aside.clone()]));
        memory.say("two");
        let [one, two, three] = [
            Message::user("one"),
            Message::assistant("two"),
            Message::user("three"),
        ];
        let known = |told: &[Message]| memory.known(&conversation(told));
        assert_eq!(known(&[one.clone(), two.clone(), three.clone()]), Some(2));
        let late = [one.clone(), two.clone(), three.clone(), aside.clone()];
        assert_eq!(known(&late), Some(2));
        let early = [
            aside.clone(),
            one.clone(),
            aside.clone(),
            two.clone(),
            aside.clone(),
            three,
        ];
        assert_eq!(known(&early), Some(4));
        assert_eq!(known(&[one, two, aside]), None);
    }

    #[test]
    fn anything_else_does_not() {
        let said = |text| Message::assistant(text);
        let user = |text| Message::user(text);
        for told in [
            vec![],
            vec![user("one")],
            vec![user("one"), said("two")],
            vec![user("one"), said("2"), user("three")],
            vec![user("One"), said("two"), user("three")],
            vec![user("one"), user("three")],
            vec![said("two"), user("one"), user("three")],
            vec![
                user("one"),
                said("two"),
                user("x"),
                said("y"),
                user("three"),
            ],
        ] {
            assert_eq!(memory().known(&conversation(&told)), None, "{told:?}");
        }
        let told = conversation(&[user("one"), said("two"), user("three")]);
        let others: [fn(&mut Conversation); 7] = [
            |other| other.caller = "d".to_owned(),
            |other| other.name = Some("n".to_owned()),
            |other| other.model = Some("opus".to_owned()),
            |other| other.system = Some("s".to_owned()),
            |other| other.system_mode = SystemMode::Replace,
            |other| other.agent = AgentId::new("other").unwrap(),
            |other| other.output_schema = Some(OutputSchema::new(Map::new()).unwrap()),
        ];
        for change in others {
            let mut other = told.clone();
            change(&mut other);
            assert_eq!(memory().known(&other), None, "{other:?}");
        }
        assert_eq!(memory().known(&told), Some(2));
    }
}
