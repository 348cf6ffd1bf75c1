//! What a wrapper tells of the lines that `claude` prints: the events it sees itself, and the
//! envelopes from which others learn the same.

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::framing::LineFramer;
use ccpool_protocol::line::{Line, WrapperLine};
use ccpool_protocol::{TurnId, UnixMs};
use serde_json::Value;
use serde_json::value::RawValue;

/// A session as its wrapper tells it.
#[derive(Debug)]
pub struct Telling {
    /// What goes into the buffer.
    pub envelopes: Vec<Envelope>,
    /// What the wrapper's own fold said, in the same order.
    pub events: Vec<ReplyEvent>,
    fold: Fold,
    turn: TurnId,
    turns: u64,
    seq: u64,
}

/// The lines of a stream, as text: what is not UTF-8 is replaced, as the wrapper does.
///
/// # Panics
/// A line is longer than the framer takes.
pub fn lines(stdout: &[u8]) -> Vec<String> {
    let mut framer = LineFramer::default();
    framer.feed(stdout);
    let mut lines = Vec::new();
    while let Some(line) = framer.next_line() {
        lines.push(line.expect("no line is that long"));
    }
    lines.extend(framer.finish().map(|line| line.expect("nor the last")));
    lines
        .into_iter()
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

/// Tells the lines of a session, a turn for each ending.
pub fn tell(lines: &[String]) -> Telling {
    let mut telling = Telling {
        envelopes: Vec::new(),
        events: Vec::new(),
        fold: Fold::new(Ending::ByResult),
        turn: turn(1),
        turns: 1,
        seq: 0,
    };
    telling.open();
    for text in lines {
        telling.hear(text);
    }
    telling
}

impl Telling {
    fn open(&mut self) {
        self.turn = turn(self.turns);
        self.own(WrapperLine::Prompt {
            pushed_at: None,
            taken_at: None,
            sent_at: self.at(),
            steered: false,
            origin: None,
        });
    }

    fn hear(&mut self, text: &str) {
        let Ok(line) = Line::parse(text) else {
            self.own(WrapperLine::Noise {
                text: text.to_owned(),
            });
            return;
        };
        // It can hold tokens, and goes to nobody.
        if matches!(line, Line::ControlResponse(_)) {
            return;
        }
        // A turn begins where the last one has ended; what trails a result still belongs to it.
        if self.fold.turn_ended() && matches!(line, Line::Init(_) | Line::Result(_)) {
            self.turns += 1;
            self.open();
        }
        let raw = RawValue::from_string(text.to_owned()).expect("a line that parsed is JSON");
        for line in self.publish(raw, line) {
            let raw = RawValue::from_string(line.to_json()).expect("a wrapper's line is JSON");
            // The fold has had this already, in the words of the CLI.
            self.number(raw);
        }
    }

    fn own(&mut self, line: WrapperLine) {
        let raw = RawValue::from_string(line.to_json()).expect("a wrapper's line is JSON");
        self.publish(raw, Line::Wrapper(line));
    }

    /// What is for the wrapper to tell of this line: calls of the caller's functions, and the ending
    /// of the turn.
    fn publish(&mut self, raw: Box<RawValue>, line: Line) -> Vec<WrapperLine> {
        self.number(raw);
        let at = self.at();
        let stamp = Stamp {
            turn: &self.turn,
            seq: self.seq,
            at,
        };
        let events = self.fold.push(stamp, line);
        let (own, heard): (Vec<_>, Vec<_>) = events
            .into_iter()
            .map(|event| (own_line(&event.event), event))
            .partition(|(own, _)| own.is_some());
        let (own, told): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        self.events
            .extend(heard.into_iter().map(|(_, event)| event));
        self.events.extend(told);
        own.into_iter().flatten().collect()
    }

    fn number(&mut self, line: Box<RawValue>) {
        self.seq += 1;
        self.envelopes.push(Envelope {
            seq: self.seq,
            turn: self.turn.clone(),
            at: self.at(),
            line,
        });
    }

    /// Time goes by from line to line.
    fn at(&self) -> UnixMs {
        1_795_195_419_000 + 7 * self.seq
    }
}

/// The wrapper's line that tells readers of this event, where the CLI's does not.
fn own_line(event: &Event) -> Option<WrapperLine> {
    match event.clone() {
        Event::FunctionCalls {
            calls,
            expires_at,
            usage,
        } => Some(WrapperLine::FunctionCalls {
            calls,
            expires_at,
            usage,
        }),
        event => event
            .is_terminal()
            .then_some(WrapperLine::Terminal { event }),
    }
}

fn turn(number: u64) -> TurnId {
    TurnId::new(format!("t{number}")).expect("t and digits are a turn id")
}

/// What a reader makes of an envelope: a line that cannot be read is shown as it is.
pub fn read(fold: &mut Fold, envelope: &Envelope) -> Vec<ReplyEvent> {
    let text = envelope.line.get();
    let line = Line::parse(text).unwrap_or_else(|_| Line::Other(Value::from(text)));
    let stamp = Stamp {
        turn: &envelope.turn,
        seq: envelope.seq,
        at: envelope.at,
    };
    fold.push(stamp, line)
}
