//! What is published and buffered: a numbered line.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{TurnId, UnixMs};

/// One line of a session's output.
///
/// `line` is the text that `claude` printed, untouched, or an event of the wrapper
/// (`{"type":"ccpool", …}`, see [`crate::line::WrapperLine`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// Rises by one for the whole session, from 1.
    pub seq: u64,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// When the wrapper read it.
    pub at: UnixMs,
    /// One JSON object.
    pub line: Box<RawValue>,
}

impl Envelope {
    /// Reads an envelope from the buffer or the channel.
    ///
    /// # Errors
    /// When it is not an envelope.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON that goes into Redis.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an envelope has string keys and holds valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_stays_as_it_was() {
        let line = r#"{"b":1.50,  "a":"é\u00e9"}"#;
        let envelope = Envelope {
            seq: 17,
            turn: TurnId::new("t1").unwrap(),
            at: 1_795_195_419_675,
            line: RawValue::from_string(line.to_owned()).unwrap(),
        };
        let json = envelope.to_json();
        assert_eq!(
            json,
            format!(r#"{{"seq":17,"turn":"t1","at":1795195419675,"line":{line}}}"#)
        );
        assert_eq!(Envelope::parse(&json).unwrap().line.get(), line);
    }
}
